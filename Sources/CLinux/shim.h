// GNU and Linux calls that Swift's Glibc module does not show, because it is built without _GNU_SOURCE.
#pragma once
#include <malloc.h>
#include <stddef.h>
#include <sys/vfs.h>

int syncfs(int descriptor);
const char *strerrorname_np(int number);
