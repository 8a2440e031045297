#!/usr/bin/env bash
# Build the bot's image, push it to Amazon ECR, and print the name to put into bot_config.json as bot_image.
#
#   ./build_and_push.sh foo_bot                          repository foo_bot, tag latest, linux/amd64
#   ./build_and_push.sh foo_bot 1.4.0                    another tag
#   ./build_and_push.sh foo_bot 1.4.0 linux/arm64        for Graviton instances
#
# Needs docker and the AWS command line tool, logged in. The region is AWS_REGION, AWS_DEFAULT_REGION or the profile's
# (AWS_PROFILE). A repository that does not exist is created. Say where the base image is with BASE_IMAGE, should the
# one in the Dockerfile be out of reach.
set -euo pipefail

if [[ $# -lt 1 || $# -gt 3 || $1 == -* ]]; then
    sed -n '2,10s/^# \{0,1\}//p' "$0" >&2
    exit 2
fi
repository=$1
tag=${2:-latest}
platform=${3:-linux/amd64}

fail() {
    echo "Error: $1" >&2
    exit 1
}

for tool in aws docker; do
    command -v "$tool" >/dev/null || fail "$tool is not installed"
done
region=${AWS_REGION:-${AWS_DEFAULT_REGION:-$(aws configure get region || true)}}
[[ -n $region ]] || fail "no AWS region: set AWS_REGION"
export AWS_DEFAULT_REGION=$region AWS_PAGER=""
account=$(aws sts get-caller-identity --query Account --output text) || fail "not logged in to AWS"

# China's regions are a partition of their own, with domain names of their own.
case $region in
    cn-*) domain=amazonaws.com.cn ;;
    *) domain=amazonaws.com ;;
esac
registry=$account.dkr.ecr.$region.$domain
image=$registry/$repository:$tag

if ! found=$(aws ecr describe-repositories --repository-names "$repository" 2>&1); then
    [[ $found == *RepositoryNotFoundException* ]] || fail "$found"
    echo "creating the repository $repository" >&2
    aws ecr create-repository --repository-name "$repository" --image-scanning-configuration scanOnPush=true >/dev/null
fi

aws ecr get-login-password | docker login --username AWS --password-stdin "$registry" >&2
build=(--platform "$platform" --tag "$image")
[[ -z ${BASE_IMAGE:-} ]] || build+=(--build-arg "BASE_IMAGE=$BASE_IMAGE")
docker build "${build[@]}" "$(dirname "$0")" >&2
docker push "$image" >&2

echo "put this into bot_config.json as bot_image:" >&2
echo "$image"
