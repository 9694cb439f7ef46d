# Part of image-test.sh: the image, the servers beside it, and what the image must not hold.
say "The image"
# Without buildx there is only the classic builder; an engine without a default bridge builds on its own network.
build_options=()
docker buildx version >/dev/null 2>&1 || export DOCKER_BUILDKIT=0
build() { docker build -q "$@" . >"$work/build" 2>&1 || { cat "$work/build" >&2; fail "docker build"; }; }
docker network inspect bridge >/dev/null 2>&1 || build_options=(--network host)
if [ $# = 0 ]; then build "${build_options[@]}" -t "$image"; fi
# The context is the whole repository; this Dockerfile copies nothing of it.
build "${build_options[@]}" -t "$id-sftp" -f deploy/demo/sftp.Dockerfile
base=$(docker image inspect -f '{{.Size}}' debian:trixie-slim)
size=$(docker image inspect -f '{{.Size}}' "$image")
printf '     %s: %s MB, of them debian:trixie-slim %s MB\n' "$image" $((size / 1000000)) $((base / 1000000))
check "at most 130 MB beside the base" test $((size - base)) -le 130000000

say "The servers"
mkdir -m 755 "$served"
printf 'first\n' >"$served/first.txt"
docker network create "$id" >/dev/null
docker run -d --name "$id-sftp" --label "$id" --network "$id" --network-alias sftp \
  -v "$served:/home/demo/outbox:ro" "$id-sftp" >/dev/null
docker exec -i "$id-sftp" chpasswd <<<"demo:$password"
docker run -d --name "$id-s3" --label "$id" --network "$id" --network-alias s3 -p 127.0.0.1::8333 \
  -e AWS_ACCESS_KEY_ID=image-test -e AWS_SECRET_ACCESS_KEY="$s3_secret" chrislusf/seaweedfs:latest \
  mini -dir=/data -bucket=mirror -ip=s3 -ip.bind=0.0.0.0 -master.telemetry=false -webdav=false -admin.ui=false \
  -s3.port.iceberg=0 -s3.port.lance=0 >/dev/null
s3_address=$(docker port "$id-s3" 8333 | head -n 1)
S3_ENDPOINT=http://$s3_address S3_BUCKET_NAME=mirror S3_ACCESS_KEY_ID=image-test S3_SECRET_ACCESS_KEY=$s3_secret \
  .venv/bin/python scripts/bucket.py wait 60
sshd_answers() { docker exec "$id-sftp" bash -c 'read -r banner </dev/tcp/127.0.0.1/22' 2>/dev/null; }
within 30 "sshd and SeaweedFS answer" sftp sshd_answers
