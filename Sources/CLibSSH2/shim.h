// libssh2's functions behind the convenience macros are called directly. Here is only what Swift cannot say: a function
// pointer as the `void *` that callbacks are set with. libssh2 1.11.1 calls that deprecated, and 1.10 has nothing else.
#pragma once
#include <libssh2.h>

static inline void session_set_callbacks(
    LIBSSH2_SESSION *session,
    ssize_t (*receive)(libssh2_socket_t socket, void *buffer, size_t length, int flags, void **abstract),
    void (*disconnected)(LIBSSH2_SESSION *session, int reason, const char *message, int message_length,
                         const char *language, int language_length, void **abstract)) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
  libssh2_session_callback_set(session, LIBSSH2_CALLBACK_RECV, (void *)receive);
  libssh2_session_callback_set(session, LIBSSH2_CALLBACK_DISCONNECT, (void *)disconnected);
#pragma GCC diagnostic pop
}
