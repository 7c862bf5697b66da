#!/bin/sh
# Installs the programs that the tests talk to or watch with: DCMTK, Orthanc, dicom3tools, PostgreSQL, Prometheus'
# promtool, strace and a Java runtime for Kafka.
# Works as root on Debian and Ubuntu; elsewhere it says what is missing and succeeds: such tests are skipped.
set -eu

missing=
need() { # need PROGRAM-OR-PATTERN PACKAGE
    for found in $1; do
        case $found in
        /*) if [ -x "$found" ]; then return; fi ;;
        *) if command -v "$found" >/dev/null; then return; fi ;;
        esac
    done
    missing="$missing $2"
}
# by the system's path where Python packages install programs of the same names
need "/usr/bin/storescu /usr/local/bin/storescu /opt/homebrew/bin/storescu" dcmtk
need "/usr/sbin/Orthanc Orthanc" orthanc
[ -r /usr/share/orthanc/plugins/libOrthancDicomWeb.so ] || missing="$missing orthanc-dicomweb"
need dciodvfy dicom3tools
need strace strace
need "/usr/lib/postgresql/*/bin/initdb initdb" postgresql
need promtool prometheus
java -version 2>&1 | grep -qE 'version "(1[7-9]|[2-9][0-9])' || missing="$missing openjdk-17-jre-headless"

if [ -z "$missing" ]; then exit 0; fi
if ! command -v apt-get >/dev/null; then
    echo "tests that need these are skipped, none is installed here:$missing" >&2
    exit 0
fi
if [ "$(id -u)" -ne 0 ]; then
    echo "tests that need these are skipped; to run them: sudo apt-get install$missing" >&2
    exit 0
fi

# the packages would start services of their own, which nobody asked for
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then
    trap 'rm -f $policy' EXIT
    printf '#!/bin/sh\nexit 101\n' >$policy
    chmod +x $policy
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
if ! apt-cache show openjdk-17-jre-headless >/dev/null 2>&1; then
    missing=$(echo "$missing" | sed 's/openjdk-17-jre-headless/default-jre-headless/')
fi
echo "installing for the tests:$missing"
# shellcheck disable=SC2086  # a list of packages
apt-get install -y -qq --no-install-recommends $missing >/dev/null
