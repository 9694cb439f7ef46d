# The demo's SFTP server: user demo, password demo, folder outbox. Never for anything else.
FROM debian:trixie-slim
RUN apt-get update \
  && DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends openssh-server \
  && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /etc/ssh/ssh_host_* \
  && useradd --create-home demo \
  && echo demo:demo | chpasswd
EXPOSE 22
CMD ["sh", "-c", "mkdir -p /run/sshd && ssh-keygen -A >&2 && exec /usr/sbin/sshd -D -e -o Subsystem='sftp internal-sftp'"]
