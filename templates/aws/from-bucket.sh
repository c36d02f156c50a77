#!/bin/sh
# from-bucket.sh REGION DOMAIN BUCKET KEY FILE: fetches an object of S3 as this machine, by its role.
#
# The request is signed here (Signature Version 4, in the query): the curl of Ubuntu 22.04 signs host and date and nothing
# else, and S3 wants the session's token signed, too.
set -eu
region=$1 domain=$2 bucket=$3 key=$4 file=$5
# Seconds that a request is good for, repetitions included.
lifetime=900
endpoints=/etc/default/keelwright-aws
[ ! -r "$endpoints" ] || . "$endpoints"
{{ calls }}
# hash: of standard input, in hexadecimal digits.
hash() {
  sha256sum | cut -d ' ' -f 1
}

# escapes DIGITS MASK: as many bytes as that makes, each with the mask, as printf takes them.
escapes() {
  digits=$1
  while [ -n "$digits" ]; do
    rest=${digits#??}
    printf '\\%03o' "$((0x${digits%"$rest"} ^ $2))"
    digits=$rest
  done
}

# hmac KEY TEXT: HMAC-SHA-256 of RFC 2104; a key is hexadecimal digits, and no longer than a block.
hmac() {
  block=$(printf '%s%0128d' "$1" 0 | cut -c 1-128)
  inner=$({ printf "$(escapes "$block" 0x36)"; printf %s "$2"; } | hash)
  { printf "$(escapes "$block" 0x5c)"; printf "$(escapes "$inner" 0)"; } | hash
}

# A certificate of AWS' has room for one label before the service's.
case $bucket in
  *.*) url=https://s3.$region.$domain/$bucket/$key ;;
  *) url=https://$bucket.s3.$region.$domain/$key ;;
esac
[ -z "${AWS_ENDPOINT_URL_S3:-}" ] || url=$AWS_ENDPOINT_URL_S3/$bucket/$key
host=${url#*://}
path=/${host#*/}
host=${host%%/*}

# signed: the address with what says who asks.
signed() {
  role=$(about iam/security-credentials/) && keys=$(about "iam/security-credentials/$role") || return
  now=$(date -u +%Y%m%dT%H%M%SZ)
  scope=${now%T*}/$region/s3/aws4_request
  credential=$(printf '%s/%s' "$(printf %s "$keys" | field AccessKeyId)" "$scope" | sed 's,/,%2F,g')
  token=$(printf %s "$keys" | field Token | sed 's,+,%2B,g; s,/,%2F,g; s,=,%3D,g')
  query="X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=$credential&X-Amz-Date=$now&X-Amz-Expires=$lifetime"
  query="$query&X-Amz-Security-Token=$token&X-Amz-SignedHeaders=host&x-id=GetObject"
  asked=$(printf 'GET\n%s\n%s\nhost:%s\n\nhost\nUNSIGNED-PAYLOAD' "$path" "$query" "$host" | hash)
  with=$(printf 'AWS4%s' "$(printf %s "$keys" | field SecretAccessKey)" | od -An -v -tx1 | tr -d ' \n')
  for part in "${now%T*}" "$region" s3 aws4_request "$(printf 'AWS4-HMAC-SHA256\n%s\n%s\n%s' "$now" "$scope" "$asked")"; do
    with=$(hmac "$with" "$part")
  done
  printf '%s?%s&X-Amz-Signature=%s\n' "$url" "$query" "$with"
}

# Keys travel on curl's standard input, never in its arguments.
fetch() {
  address=$(signed) && printf 'url = "%s"\n' "$address" | curl -fsS --retry 3 -o "$file" -K -
}

# A role that was just made is not known everywhere at once.
tries=36
until fetch; do
  tries=$((tries - 1))
  [ "$tries" -gt 0 ] || { echo "$key of bucket $bucket cannot be fetched" >&2; exit 1; }
  sleep 5
done
