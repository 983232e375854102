# shellcheck shell=bash
# To be sourced: points AWS clients at the local endpoint that `up` starts.
export AWS_ENDPOINT_URL=http://127.0.0.1:4666
export AWS_REGION=us-east-1
export AWS_DEFAULT_REGION=us-east-1
# The local endpoint accepts any key. With a real account, do not source this file: your own settings apply.
export AWS_ACCESS_KEY_ID=test
export AWS_SECRET_ACCESS_KEY=test
# A session token or profile of yours must not be mixed with the keys above, nor be sent to the local endpoint.
unset AWS_SESSION_TOKEN AWS_PROFILE
