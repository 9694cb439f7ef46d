#!/usr/bin/env bash
# Throw-away servers on free loopback ports: a real sshd and SeaweedFS. Several sets can run side by side.
#
#   scripts/dev-servers.sh start DIR   starts both, waits until they answer and writes DIR/env to be sourced
#   scripts/dev-servers.sh stop DIR    ends both; what they stored stays in DIR
#
# They also end by themselves when the process that called `start` does.
# sshd serves the folder SFTP_FOLDER_NAME (default DIR/served) to the current user by the key DIR/ssh/user_key.
# The bucket and its credentials come from S3_BUCKET_NAME, S3_ACCESS_KEY_ID and S3_SECRET_ACCESS_KEY, or defaults.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(dirname "$here")
python=$root/.venv/bin/python

fail() {
  echo "dev-servers: $1" >&2
  exit 1
}

# Prints COUNT distinct free loopback ports. Another process may still take one: start tries again then.
free_ports() {
  "$python" - "$1" <<'P'
import socket, sys
held = [socket.create_server(("127.0.0.1", 0)) for _ in range(int(sys.argv[1]))]
print(*(server.getsockname()[1] for server in held))
P
}

make_keys() {
  mkdir -p -m 700 ssh
  [ -f ssh/host_key ] || ssh-keygen -q -t ed25519 -N '' -C 'throw-away host key' -f ssh/host_key
  [ -f ssh/user_key ] || ssh-keygen -q -t ed25519 -N '' -C 'throw-away user key' -f ssh/user_key
  cp ssh/user_key.pub ssh/authorized_keys
}

write_sshd_config() {
  cat >ssh/sshd_config <<C
Port $1
ListenAddress 127.0.0.1
HostKey $PWD/ssh/host_key
AuthorizedKeysFile $PWD/ssh/authorized_keys
PidFile none
StrictModes no
UsePAM no
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
MaxStartups 100
Subsystem sftp internal-sftp
C
}

# Runs both servers until one of them or the process $2 ends, or a signal arrives. Runs in a session of its own;
# --pdeathsig ends its children even when it is killed itself.
supervise() {
  cd "$1"
  local caller=$2
  set -- $(cat ports)
  trap 'kill -KILL $(jobs -p) 2>/dev/null; wait' EXIT
  trap 'exit 0' TERM INT HUP
  setpriv --pdeathsig KILL -- /usr/sbin/sshd -D -e -f "$PWD/ssh/sshd_config" >sshd.log 2>&1 &
  AWS_ACCESS_KEY_ID=$S3_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY=$S3_SECRET_ACCESS_KEY \
    setpriv --pdeathsig KILL -- "$root/.venv/bin/weed" mini -dir="$PWD/seaweedfs" -bucket="$S3_BUCKET_NAME" \
    -ip=127.0.0.1 -ip.bind=127.0.0.1 -webdav=false -admin.ui=false -s3.port.iceberg=0 -s3.port.lance=0 \
    -s3.port="$2" -s3.port.grpc="$3" -master.port="$4" -master.port.grpc="$5" -volume.port="$6" \
    -volume.port.grpc="$7" -filer.port="$8" -filer.port.grpc="$9" -admin.port="${10}" \
    -admin.port.grpc="${11}" >seaweedfs.log 2>&1 &
  setpriv --pdeathsig KILL -- tail -s 0.2 --pid="$caller" -f /dev/null &
  wait -n
}

sshd_answers() {
  local banner=
  { read -r -t 2 banner <"/dev/tcp/127.0.0.1/$1"; } 2>/dev/null || true
  [[ $banner == SSH-* ]]
}

running() { [ -f supervisor.pid ] && tr '\0' '\n' <"/proc/$(cat supervisor.pid)/cmdline" 2>/dev/null | grep -qx supervise; }

try_start() {
  local ports
  read -r -a ports <<<"$(free_ports 11)"
  echo "${ports[@]}" >ports
  write_sshd_config "${ports[0]}"
  export S3_ENDPOINT=http://127.0.0.1:${ports[1]}
  SFTP_PORT=${ports[0]}
  setsid bash "$here/dev-servers.sh" supervise "$PWD" "$1" </dev/null >supervisor.log 2>&1 &
  echo $! >supervisor.pid
  local tries=50
  until sshd_answers "$SFTP_PORT"; do
    tries=$((tries - 1))
    if [ $tries = 0 ] || ! kill -0 "$(cat supervisor.pid)" 2>/dev/null; then return 1; fi
    sleep 0.1
  done
  "$python" "$here/bucket.py" wait 20
}

start() {
  [ -x "$python" ] || fail "no .venv: run scripts/setup.sh first"
  mkdir -p -- "$1"
  cd -- "$1"
  running && fail "servers are running in $1 already"
  export S3_BUCKET_NAME=${S3_BUCKET_NAME:-mirror}
  export S3_ACCESS_KEY_ID=${S3_ACCESS_KEY_ID:-demo-key} S3_SECRET_ACCESS_KEY=${S3_SECRET_ACCESS_KEY:-demo-secret}
  mkdir -p served seaweedfs
  make_keys
  local attempt
  for attempt in 1 2 3; do
    if try_start "$2" 2>start.log; then
      write_environment >env
      return
    fi
    stop "$PWD"
  done
  tail -n 5 start.log sshd.log seaweedfs.log >&2
  fail "the servers did not start in three attempts; their logs are in $PWD"
}

write_environment() {
  local assignment
  for assignment in SFTP_HOST=127.0.0.1 SFTP_PORT="$SFTP_PORT" SFTP_USER="$(id -un)" SFTP_KEY_FILE="$PWD/ssh/user_key" \
    SFTP_FOLDER_NAME="${SFTP_FOLDER_NAME:-$PWD/served}" S3_ENDPOINT="$S3_ENDPOINT" S3_BUCKET_NAME="$S3_BUCKET_NAME" \
    S3_ACCESS_KEY_ID="$S3_ACCESS_KEY_ID" S3_SECRET_ACCESS_KEY="$S3_SECRET_ACCESS_KEY" \
    S3_REGION=us-east-1 S3_SERVICE=s3 S3_FOLDER_NAME="${S3_FOLDER_NAME-incoming}"; do
    printf 'export %s=%q\n' "${assignment%%=*}" "${assignment#*=}"
  done
}

stop() {
  cd -- "$1" 2>/dev/null || fail "no such directory: $1"
  if running; then
    local supervisor
    supervisor=$(cat supervisor.pid)
    kill -TERM "$supervisor"
    while kill -0 "$supervisor" 2>/dev/null; do sleep 0.05; done
  fi
  rm -f supervisor.pid
}

case "${1-} $#" in
  "start 2") start "$2" "$PPID" ;;
  "stop 2") stop "$2" ;;
  "supervise 3") supervise "$2" "$3" ;;
  *)
    echo "usage: scripts/dev-servers.sh start DIR | stop DIR" >&2
    exit 2
    ;;
esac
