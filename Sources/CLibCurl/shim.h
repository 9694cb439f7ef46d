// libcurl sets and reads options through variadic functions, which Swift cannot call. Here is one function a type of
// value, so that a `long` option is always given a `long`. And the two Linux calls its event loop stands on,
// which Swift's Glibc module does not show.
#pragma once
#include <curl/curl.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

static inline CURLcode easy_set_long(CURL *easy, CURLoption option, long value) {
  return (curl_easy_setopt)(easy, option, value);
}

static inline CURLcode easy_set_size(CURL *easy, CURLoption option, curl_off_t value) {
  return (curl_easy_setopt)(easy, option, value);
}

static inline CURLcode easy_set_string(CURL *easy, CURLoption option, const char *value) {
  return (curl_easy_setopt)(easy, option, value);
}

static inline CURLcode easy_set_pointer(CURL *easy, CURLoption option, void *value) {
  return (curl_easy_setopt)(easy, option, value);
}

static inline CURLcode easy_set_headers(CURL *easy, struct curl_slist *value) {
  return (curl_easy_setopt)(easy, CURLOPT_HTTPHEADER, value);
}

static inline CURLcode easy_set_read(CURL *easy, curl_read_callback read, curl_seek_callback seek, void *context) {
  CURLcode code = (curl_easy_setopt)(easy, CURLOPT_READFUNCTION, read);
  if (code == CURLE_OK) code = (curl_easy_setopt)(easy, CURLOPT_READDATA, context);
  if (code == CURLE_OK) code = (curl_easy_setopt)(easy, CURLOPT_SEEKFUNCTION, seek);
  if (code == CURLE_OK) code = (curl_easy_setopt)(easy, CURLOPT_SEEKDATA, context);
  return code;
}

static inline CURLcode easy_set_write(CURL *easy, curl_write_callback body, curl_write_callback header, void *context) {
  CURLcode code = (curl_easy_setopt)(easy, CURLOPT_WRITEFUNCTION, body);
  if (code == CURLE_OK) code = (curl_easy_setopt)(easy, CURLOPT_WRITEDATA, context);
  if (code == CURLE_OK) code = (curl_easy_setopt)(easy, CURLOPT_HEADERFUNCTION, header);
  if (code == CURLE_OK) code = (curl_easy_setopt)(easy, CURLOPT_HEADERDATA, context);
  return code;
}

static inline CURLcode easy_get_long(CURL *easy, CURLINFO info, long *value) {
  return (curl_easy_getinfo)(easy, info, value);
}

static inline CURLcode easy_get_size(CURL *easy, CURLINFO info, curl_off_t *value) {
  return (curl_easy_getinfo)(easy, info, value);
}

static inline CURLcode easy_get_pointer(CURL *easy, CURLINFO info, void **value) {
  return (curl_easy_getinfo)(easy, info, value);
}

static inline CURLSHcode share_tls_sessions(CURLSH *share) {
  return (curl_share_setopt)(share, CURLSHOPT_SHARE, CURL_LOCK_DATA_SSL_SESSION);
}

static inline CURLMcode multi_set_callbacks(
    CURLM *multi, curl_socket_callback socket, curl_multi_timer_callback timer, void *context) {
  CURLMcode code = (curl_multi_setopt)(multi, CURLMOPT_SOCKETFUNCTION, socket);
  if (code == CURLM_OK) code = (curl_multi_setopt)(multi, CURLMOPT_SOCKETDATA, context);
  if (code == CURLM_OK) code = (curl_multi_setopt)(multi, CURLMOPT_TIMERFUNCTION, timer);
  if (code == CURLM_OK) code = (curl_multi_setopt)(multi, CURLMOPT_TIMERDATA, context);
  return code;
}
