// libssh2's own header is all that is needed: its functions behind the convenience macros are called directly.
#pragma once
#include <libssh2.h>
