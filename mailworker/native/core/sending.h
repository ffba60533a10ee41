/* <sys/socket.h>, and flags of send() everywhere. */

#include <sys/socket.h>

#ifndef MSG_NOSIGNAL
#define MSG_NOSIGNAL 0 /* macOS; SIGPIPE is ignored in every process anyway, which TLS and splice() rely on */
#endif

#ifndef MSG_MORE
#define MSG_MORE 0 /* Linux's */
#endif
