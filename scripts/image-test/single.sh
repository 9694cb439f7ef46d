# Part of image-test.sh: single commands, under every kind of user, and what the scheduler refuses.
hardened=(--read-only --tmpfs /tmp --cap-drop ALL --security-opt no-new-privileges)
# as_root PROGRAM ARGUMENT…: root's hand on $work, whoever runs this test.
as_root() { docker run --rm --user 0 -v "$work:$work" --entrypoint "$1" "$image" "${@:2}"; }
owned_only_by() { [ -z "$(as_root find "$2" ! -uid "$1" -print -quit)" ]; }

say "Single commands"
expect 0 "--version" docker run --rm "$image" --version
expect 2 "a command that does not exist" docker run --rm "$image" mirror
expect 2 "sync without configuration" docker run --rm "$image" sync
says "configuration: SFTP_HOST is not set"
says "configuration: S3_SECRET_ACCESS_KEY is not set"
expect 2 "the scheduler without configuration" docker run --rm "$image"
says "configuration: SFTP_HOST is not set"

docker run -d --name "$id-wrong" --label "$id" --restart on-failure:3 "$image" >/dev/null
within 30 "which tells what is wrong once, however often Docker restarts it" wrong \
  eval '[ "$(logs wrong | grep -c "as wrong as at the last start")" = 3 ]'
check "and no more" test "$(logs wrong | grep -c 'SFTP_HOST is not set')" = 1

expect 0 "sync as 10001, read-only, without capabilities, on a new named volume" \
  once "${hardened[@]}" --user 10001 -v "$id-single:/staging" -e SETTLE_SECONDS=0 -e S3_FOLDER_NAME=single -- sync
says "publish: 1 published"
check "the bucket holds what the server serves" bucket_equals_source single

mkdir "$work/own" "$work/new" "$work/bare"
as_root chown 12345:12345 "$work/own"
as_root chown 0:0 "$work/new" "$work/bare"
expect 0 "sync as 12345, read-only, without capabilities, on a directory of its own" \
  once "${hardened[@]}" --user 12345:12345 -v "$work/own:/staging" -e SETTLE_SECONDS=0 -e S3_FOLDER_NAME=own -- sync
printf 'second\n' >"$served/second.txt"
expect 0 "sync as root on the same directory" \
  once -v "$work/own:/staging" -e SETTLE_SECONDS=0 -e S3_FOLDER_NAME=own -- sync
says "fetch: 1 fetched"
check "leaves nothing of root's there" owned_only_by 12345 "$work/own"
expect 0 "sync as root, read-only, without capabilities, on an empty directory of root's" \
  once "${hardened[@]}" -v "$work/bare:/staging" -e SETTLE_SECONDS=0 -e S3_FOLDER_NAME=bare -- sync
expect 0 "sync as root on an empty directory of root's" \
  once -v "$work/new:/staging" -e SETTLE_SECONDS=0 -e S3_FOLDER_NAME=new -- sync
check "which now is the jobs' user's" owned_only_by 10001 "$work/new"

say "What the scheduler refuses"
expect 2 "to run without root" once --user 10001 --
says "the scheduler needs root"
expect 2 "to run without the capabilities to leave root" once --cap-drop ALL --
says "capabilities SETUID and SETGID"
expect 2 "a volume of someone else" docker run --name "$id-foreign" --label "$id" --network "$id" "${settings[@]}" \
  -v "$work/own:/staging" "$image"
says "belongs to uid 12345"
command=$(sed -n 's/.*hand it over: //p' "$work/out")
check "and the command it prints hands the volume over: $command" ${command/ sftp_to_s3 / "$image" }
check "so that it is the jobs' user's" owned_only_by 10001 "$work/own"
