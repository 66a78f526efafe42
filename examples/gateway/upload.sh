#!/bin/sh
# Uploads a photograph, asks for a rendition of it, follows the job and fetches the rendition: with curl alone.
#
#   GATEWAY=http://127.0.0.1:8080 TOKEN=tmg_... ./upload.sh photo.jpg card.webp
#
# The token: tidemill tokens create --name me --upload --read-jobs --publish image.requested --expires 1d
set -eu

photo=${1:?usage: upload.sh PHOTO RESULT}
result=${2:?usage: upload.sh PHOTO RESULT}
gateway=${GATEWAY:-http://127.0.0.1:8080}
say() { printf '%s\n' "$*" >&2; }
call() { curl --silent --show-error --fail-with-body --oauth2-bearer "${TOKEN:-none}" "$@"; }

# 1. The file and what is to be made of it, in one form. The key makes a repeat of this call the same job.
say "uploading $photo"
answer=$(call --include \
    --header "Idempotency-Key: $(sha256sum <"$photo" | cut -c 1-64)-card" \
    --form 'event={"type": "image.requested",
                   "payload": {"renditions": [{"name": "card", "width": 480, "format": "webp"}]}};type=application/json' \
    --form "file=@$photo" \
    "$gateway/uploads") || { say "$answer"; exit 1; }
job=$(printf '%s' "$answer" | sed -n 's/^[Ll]ocation: *\(\/jobs\/[^[:space:]]*\).*/\1/p')
say "job $job"

# 2. Server-sent events, until the job has ended.
end=$(call --no-buffer --max-time 120 "$gateway$job/events" | awk '/^event:/ { print $2; fflush() }' |
    while read -r event; do say "$event"; echo "$event"; done | tail -n 1)
if [ "$end" != done ]; then
    call "$gateway$job"
    echo
    exit 1
fi

# 3. The rendition by the name that was asked for.
call --location --output "$result" "$gateway$job/files/card"
say "$result has $(wc -c <"$result") bytes"
