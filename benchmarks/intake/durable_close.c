/* Makes a program durable that is not: what it wrote to a regular file is flushed to disk (fdatasync) before the file is
 * closed. Preloaded into DCMTK's storescp, which promises nothing, it gives the bar for a storage SCP that does.
 *
 *     cc -O2 -shared -fPIC -o durable_close.so durable_close.c -ldl
 *     LD_PRELOAD=./durable_close.so storescp ...
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static int (*real_close)(int);
static int (*real_fclose)(FILE *);

__attribute__((constructor)) static void find_the_real_ones(void) {
    real_close = (int (*)(int))dlsym(RTLD_NEXT, "close");
    real_fclose = (int (*)(FILE *))dlsym(RTLD_NEXT, "fclose");
}

static int is_written_file(int descriptor) {
    struct stat status;
    int flags = fcntl(descriptor, F_GETFL);
    /* standard output and error are logs, whatever they lead to */
    return descriptor > STDERR_FILENO && flags != -1 && (flags & O_ACCMODE) != O_RDONLY && !(flags & O_PATH) &&
           fstat(descriptor, &status) == 0 && S_ISREG(status.st_mode);
}

static void make_durable(int descriptor) {
    if (is_written_file(descriptor) && fdatasync(descriptor) != 0)
        abort(); /* a close that lies would flatter this server */
}

int close(int descriptor) {
    if (real_close == NULL)
        find_the_real_ones();
    make_durable(descriptor);
    return real_close(descriptor);
}

int fclose(FILE *stream) {
    if (real_fclose == NULL)
        find_the_real_ones();
    /* the C library closes the descriptor itself, past the function above */
    if (is_written_file(fileno(stream))) {
        if (fflush(stream) != 0)
            abort();
        make_durable(fileno(stream));
    }
    return real_fclose(stream);
}
