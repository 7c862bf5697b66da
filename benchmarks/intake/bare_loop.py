"""A storage SCP that does in Python what a durable file for each instance cannot do without, and nothing else.

For each instance the same system calls as the spool's without its journal: a file under a temporary name, written in
blocks whose writing to the disk is begun at once; then a link to its name, and content and folder synced at the same
time. No checks, no identifiers, no records, no limits, no errors; a process for each association, and in it one loop.
It is a floor for `segwatch, no journal`: what that takes longer is our code, and what this takes longer than a durable
storescp is Python, and names that are durable too. `segwatch` with its journal makes other system calls while a sender
waits, an append and one sync, and may be quicker.

python -m benchmarks.intake.bare_loop PORT FOLDER
"""

import os
import signal
import socket
import sys
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import Any

from pynetdicom.dimse_messages import C_ECHO_RSP
from pynetdicom.dimse_primitives import C_ECHO
from pynetdicom.dsutils import decode
from pynetdicom.pdu import A_ASSOCIATE_AC, A_ASSOCIATE_RQ, P_DATA_TF
from pynetdicom.pdu_primitives import A_ASSOCIATE
from pynetdicom.presentation import PresentationContext, build_context

from dicom_listener.receiving.c_store_messages import P_DATA_TF as DATA
from dicom_listener.receiving.c_store_messages import (
    PDU_HEADER,
    PDV_HEADER,
    decode_c_store_request,
    encode_c_store_response,
)
from dicom_listener.spool.files import finish_writeback, start_writeback
from dicom_listener.spool.folder_syncs import FolderSyncs

AE_TITLE = "BARE"
_MAXIMUM_PDU_BYTES = 131072
_BLOCK_BYTES = 256 * 1024
_RELEASE_RQ, _RELEASE_RP = 0x05, 0x06
_VERIFICATION = "1.2.840.10008.1.1"
_IS_COMMAND, _IS_LAST = 0b01, 0b10
_FILE_META_BYTES = 400


class _Instance:
    """A file that is being written."""

    block = memoryview(bytearray(_BLOCK_BYTES))

    def __init__(self, incoming: Path) -> None:
        self.name = f"{incoming}/{os.urandom(16).hex()}"
        self.descriptor = os.open(self.name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640)
        self.used = _FILE_META_BYTES
        self.written = 0

    def room(self, limit: int) -> memoryview:
        return self.block[self.used : self.used + limit]

    def advance(self, n_bytes: int) -> None:
        self.used += n_bytes
        if self.used == _BLOCK_BYTES:
            self.flush()
            start_writeback(self.descriptor, self.written - _BLOCK_BYTES, _BLOCK_BYTES)

    def flush(self) -> None:
        self.written += os.write(self.descriptor, self.block[: self.used])
        self.used = 0

    def commit(self, name: Path, syncs: FolderSyncs) -> None:
        self.flush()
        os.link(self.name, name)
        finish_writeback(self.descriptor)
        folder = syncs.begin(name.parent)
        os.fdatasync(self.descriptor)
        folder.wait()

    def close(self) -> None:
        os.close(self.descriptor)
        os.unlink(self.name)  # noqa: PTH108 (as the spool does)


def _receive(connection: socket.socket, n_bytes: int) -> bytes:
    data = connection.recv(n_bytes, socket.MSG_WAITALL)
    if len(data) < n_bytes:
        sys.exit("the peer is gone")
    return data


def _accept(connection: socket.socket) -> None:
    """Accept whatever is offered, in its first transfer syntax."""
    header = _receive(connection, PDU_HEADER.size)
    request = A_ASSOCIATE_RQ()
    request.decode(header + _receive(connection, PDU_HEADER.unpack(header)[1]))
    primitive = request.to_primitive()
    accepted: list[PresentationContext] = []
    for offered in primitive.presentation_context_definition_list:
        context = build_context(offered.abstract_syntax or "", offered.transfer_syntax[0])
        context.context_id, context.result = offered.context_id, 0
        accepted.append(context)
    answer = A_ASSOCIATE()
    answer.application_context_name = primitive.application_context_name
    answer.calling_ae_title, answer.called_ae_title = primitive.calling_ae_title, primitive.called_ae_title
    answer.result, answer.result_source = 0, 1
    answer.presentation_context_definition_results_list = accepted
    answer.user_information = primitive.user_information
    answer.maximum_length_received = _MAXIMUM_PDU_BYTES
    encoded = A_ASSOCIATE_AC()
    encoded.from_primitive(answer)
    connection.sendall(encoded.encode())


def _answer_echo(connection: socket.socket, command_set: bytes, context_id: int) -> None:
    echo = C_ECHO()
    echo.MessageIDBeingRespondedTo = decode(BytesIO(command_set), True, True).MessageID
    echo.AffectedSOPClassUID = _VERIFICATION
    echo.Status = 0
    message = C_ECHO_RSP()
    message.primitive_to_message(echo)
    for fragment in message.encode_msg(context_id, _MAXIMUM_PDU_BYTES):
        pdu = P_DATA_TF()
        pdu.from_primitive(fragment)
        connection.sendall(pdu.encode())


def _serve(connection: socket.socket, folder: Path) -> None:
    _accept(connection)
    incoming, syncs = folder / ".incoming", FolderSyncs(1)
    instance, request = _Instance(incoming), None
    while True:
        headers = _receive(connection, PDU_HEADER.size)
        if headers[0] != DATA:
            break
        headers += _receive(connection, PDV_HEADER.size)
        length, context_id, control = PDV_HEADER.unpack_from(headers, PDU_HEADER.size)
        left = length - 2
        if control & _IS_COMMAND:
            command_set = _receive(connection, left)
            request = decode_c_store_request(command_set)
            if request is None:
                _answer_echo(connection, command_set, context_id)
            continue
        while left:
            n_bytes = connection.recv_into(instance.room(left))
            left -= n_bytes
            instance.advance(n_bytes)
        if control & _IS_LAST and request is not None:
            instance.commit(folder / request.sop_instance_uid, syncs)
            connection.sendall(encode_c_store_response(request, context_id, 0, ""))
            instance.close()
            instance = _Instance(incoming)
    instance.close()
    if headers[0] == _RELEASE_RQ:
        connection.sendall(bytes([_RELEASE_RP, 0, 0, 0, 0, 4, 0, 0, 0, 0]))


def _reap(*_: Any) -> None:
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def main() -> None:
    """Serve until killed."""
    port, folder = int(sys.argv[1]), Path(sys.argv[2])
    signal.signal(signal.SIGCHLD, _reap)
    (folder / ".incoming").mkdir()
    with socket.create_server(("127.0.0.1", port)) as server:
        while True:
            connection, _ = server.accept()
            if os.fork() == 0:
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                _serve(connection, folder)
                os._exit(0)
            connection.close()


if __name__ == "__main__":
    main()
