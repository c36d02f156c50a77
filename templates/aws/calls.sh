# Calls to AWS as this machine, by its role. Endpoints are those of the region unless the variables say otherwise
# that AWS's own tools heed.
metadata=${AWS_EC2_METADATA_SERVICE_ENDPOINT:-http://169.254.169.254}

# about PATH: what the metadata service says; fails where it says nothing.
about() {
  session=$(curl -fsS --max-time 5 -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 300' "$metadata/latest/api/token") &&
    printf 'header = "X-aws-ec2-metadata-token: %s"\n' "$session" |
    curl -fsS --max-time 5 -K - "$metadata/latest/meta-data/$1"
}

# field NAME: a text of the JSON object on standard input.
field() {
  tr -d '\n' | sed -n 's/.*"'"$1"'" *: *"\([^"]*\)".*/\1/p'
}

# call SERVICE ENDPOINT HEADER...: sends what is on standard input. Keys travel on curl's standard input, never in
# its arguments.
call() {
  body=$(sed 's/["\\]/\\&/g')
  role=$(about iam/security-credentials/) && keys=$(about "iam/security-credentials/$role") || return
  {
    printf 'aws-sigv4 = "aws:amz:%s:%s"\n' "$region" "$1"
    printf 'url = "%s"\n' "$2"
    shift 2
    printf 'header = "%s"\n' "$@"
    printf 'user = "%s:%s"\n' "$(printf %s "$keys" | field AccessKeyId)" "$(printf %s "$keys" | field SecretAccessKey)"
    printf 'header = "X-Amz-Security-Token: %s"\n' "$(printf %s "$keys" | field Token)"
    printf 'data = "%s"\n' "$body"
  } | curl -fsS --max-time 20 -K -
}

# parameter_store CALL: of the Parameter Store, with the JSON on standard input.
parameter_store() {
  call ssm "${AWS_ENDPOINT_URL_SSM:-https://ssm.$region.$domain}/" \
    "X-Amz-Target: AmazonSSM.$1" 'Content-Type: application/x-amz-json-1.1'
}
