/* <sys/socket.h>, and MSG_NOSIGNAL everywhere. */

#include <sys/socket.h>

#ifndef MSG_NOSIGNAL
#define MSG_NOSIGNAL 0 /* macOS; SIGPIPE is ignored in every process anyway, which TLS and splice() rely on */
#endif
