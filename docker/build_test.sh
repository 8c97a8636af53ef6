#!/bin/bash
# Build the images and run them as users do: another user, a read-only root, no network. Needs root, buildah and
# debootstrap, and a Debian mirror; no registry. Everything it makes lies in one folder, which it removes.
#
#   PYTHON=.venv/bin/python docker/build_test.sh
#
# PYTHON         interpreter with the project, which begins a run outside (default: python3)
# BASE           image or archive to build on (default: a Debian made with debootstrap)
# PIP_INDEX_URL, PIP_EXTRA_INDEX_URL, PIP_FIND_LINKS, PIP_CERT  are handed to the build, a path as a volume
# BUILD_OPTIONS  further options of buildah
# WORK           new folder to work in, 14 GB (default: one in /var/tmp); it is removed
set -euo pipefail
cd "$(dirname "$0")/.."
python=$(command -v "${PYTHON:-python3}") user=12345 options=()
work=${WORK:-$(mktemp -d /var/tmp/breast-bundles.XXXXXX)}
mkdir -p "$work"
export BUILDAH_ISOLATION=chroot BUILDAH_FORMAT=docker STORAGE_DRIVER=vfs OMP_NUM_THREADS=1 PYTHONPATH=$PWD
store=(--root "$work/store" --runroot "$work/run" --storage-driver vfs)
study=(bundles/breast_mri_curriculum --preset demo --folds 1 --variants naive_1e-4 --jobs 1)

remove() {
    buildah "${store[@]}" rm --all >/dev/null 2>&1 || true
    rm -rf "$work"
}
trap remove EXIT

say() { printf '\n== %s\n' "$*"; }

fail() { echo "error: $*" >&2; exit 1; }

# inside IMAGE [HOST:PLACE[:ro]]... -- WORDS: its entry point with these words (or, after `sh`, a shell's line)
inside() {
    local root=$work/roots/$1 mounts=() words=()
    shift
    while [ "$1" != -- ]; do mounts+=("$1"); shift; done
    shift
    mapfile -d '' -t words < <("$python" - "$root.json" "$@" <<'PY'
import json, sys
image = json.load(open(sys.argv[1]))["Docker"]["config"]
given = sys.argv[2:] or image["Cmd"]
words = ["sh", "-c", given[1]] if given[0] == "sh" else [*image["Entrypoint"], *given]
path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
print("-C", image.get("WorkingDir") or "/", path, *(image.get("Env") or []), *words, sep="\0", end="\0")
PY
    )
    unshare --mount --net --pid --fork --kill-child bash -euc '
        root=$1 user=$2 count=$3; shift 3
        mount --make-rprivate / && mount --bind "$root" "$root" && mount -o remount,bind,ro "$root"
        mount -t proc proc "$root/proc" && mount -t tmpfs tmpfs "$root/tmp" && mount -t tmpfs tmpfs "$root/dev"
        mkdir -m 1777 "$root/dev/shm"
        for each in null zero random urandom; do
            touch "$root/dev/$each" && mount --bind "/dev/$each" "$root/dev/$each"
        done
        ip link set lo up 2>/dev/null || true
        for ((; count > 0; count--)); do
            IFS=: read -r host place option <<< "$1"; shift
            mount --bind "$host" "$root$place"
            [ -z "$option" ] || mount -o remount,bind,ro "$root$place"
        done
        exec setpriv --no-new-privs --bounding-set=-all,+setuid,+setgid,+sys_chroot \
            chroot --userspec="$user:$user" --groups= "$root" env -i "$@"' \
        - "$root" $user ${#mounts[@]} "${mounts[@]}" "${words[@]}"
}

begin_outside() {  # a study that is killed when its first epoch is on disk
    "$python" -m pipeline phantom breast_mri --output "$work/data/cohort" --preset demo --exams 16 --seed 0
    "$python" -m data_lists csv "$work/data/cohort/exams.csv" --lesions "$work/data/cohort/lesions.csv" \
        -o "$work/data/cohort.json"
    printf 'max_epochs: 8\ncases_per_epoch: 8\nworkers: 0\nprecision: fp32\nval_interval: 1\n' > "$work/data/small.yaml"
    "$python" -m pipeline study "${study[@]}" --datalist "$work/data/cohort.json" --out "$work/runs/begun" \
        --overlay "$work/data/small.yaml" > "$work/begun.log" 2>&1 &
    local began=$!
    until [ -f "$work/runs/begun/naive_1e-4/fold0/breasts/resume.pt" ]; do
        kill -0 $began 2>/dev/null || { cat "$work/begun.log"; fail "the run outside ended too early"; }
        sleep 0.2
    done
    kill -TERM $began
    wait $began || true
}

say "base"
if [ -n "${BASE:-}" ]; then
    base=$BASE
else
    DPKG_FORCE=unsafe-io debootstrap --variant=minbase bookworm "$work/base" \
        "${MIRROR:-http://deb.debian.org/debian}" > "$work/base.log" 2>&1 \
        || { tail -3 "$work/base.log"; fail "debootstrap"; }
    rm -rf "$work"/base/var/cache/apt/* "$work"/base/var/lib/apt/lists/*
    container=$(buildah "${store[@]}" from scratch)
    buildah "${store[@]}" add --quiet "$container" "$work/base" / > /dev/null
    base=localhost/debian
    buildah "${store[@]}" commit --quiet --rm "$container" $base > /dev/null
    rm -rf "$work/base"
fi
echo "base: ${BASE:-bookworm, made with debootstrap}, in $SECONDS s"

for name in PIP_INDEX_URL PIP_EXTRA_INDEX_URL PIP_FIND_LINKS PIP_CERT; do
    value=${!name:-}
    if [ -e "$value" ]; then
        options+=(--volume "$value:/run/$name:ro" --build-arg "$name=/run/$name")
    elif [ -n "$value" ]; then
        options+=(--build-arg "$name=$value")
    fi
done

build() {  # TARGET, further options
    local target=$1 start=$SECONDS
    shift
    # shellcheck disable=SC2086  # BUILD_OPTIONS are words
    buildah "${store[@]}" build --layers=false --target "$target" --tag "localhost/$target" --file docker/Dockerfile \
        --build-arg BASE="$base" --build-arg REVISION="$revision" "${options[@]}" "$@" ${BUILD_OPTIONS:-} . \
        > "$work/$target.log" 2>&1 \
        || { tail -20 "$work/$target.log"; fail "$target did not build"; }
    buildah "${store[@]}" inspect --type image "localhost/$target" > "$work/roots/$target.json"
    ln -s "$(buildah "${store[@]}" mount "$(buildah "${store[@]}" from "localhost/$target")")" "$work/roots/$target"
    echo "built in $((SECONDS - start)) s"
    echo "size $target $(du -sxm "$work/roots/$target/" | awk '{print int($1 * 1.048576)}') MB"
}

started() {  # IMAGE, a shell's line, [HOST:PLACE]...: its own words, and the line once its own health check is content
    local image=$1 line=$2
    shift 2
    inside "$image" "$@" -- sh "$("$python" - "$work/roots/$image.json" "$line" <<'PY'
import json, shlex, sys
image = json.load(open(sys.argv[1]))["Docker"]["config"]
words, check = [*(image.get("Entrypoint") or []), *image["Cmd"]], image["Healthcheck"]["Test"][1:]
print(f"""{shlex.join(words)} > /tmp/log 2>&1 &
for wait in $(seq 90); do
    sleep 2
    {shlex.join(check)} 2> /dev/null && {{ {sys.argv[2]}; exit; }}
    kill -0 $! || break
done
tail -30 /tmp/log; exit 1""")
PY
    )"
}

refused() {  # the line that must come, then what `inside` takes
    local line=$1 said
    shift
    said=$(inside "$@" 2>&1) && fail "this was not refused: $*"
    [ "$(wc -l <<< "$said")" = 1 ] && [[ $said == "error: "*"$line"* ]] || fail "no single line with '$line': $said"
    echo "$said"
}

revision=$(git rev-parse HEAD 2>/dev/null || echo unknown)
mkdir -p "$work"/{roots,data,runs,studies,archive,closed}
chown $user:$user "$work/runs" "$work/studies" "$work/archive"
data="$work/data:/data:ro" runs="$work/runs:/runs"
say "build runtime"
build runtime

say "doctor, and what is refused in one line"
inside runtime -- pipeline doctor | tee "$work/doctor.txt"
grep -q "^git *$revision" "$work/doctor.txt" && tail -1 "$work/doctor.txt" | grep -qx "all well" || fail "doctor"
refused "nothing is mounted at /runs" runtime -- pipeline report /runs/a
refused "is empty" runtime "$data" -- data_lists csv /data/exams.csv -o /tmp/list.json
refused "may not write to what is mounted at /runs" runtime "$work/closed:/runs" -- pipeline report /runs/a
inside runtime -- sh 'id; ! touch /app/x 2>/dev/null \
    && ! python -c "import socket; socket.create_connection((\"1.1.1.1\", 53), 2)" 2>/dev/null' \
    || fail "the root can be written, or there is a network"

say "a run that was begun outside goes on inside"
begin_outside
chown -R $user:$user "$work/runs"
inside runtime "$data" "$runs" -- pipeline study "${study[@]}" --datalist /data/cohort.json --out /runs/begun \
    --overlay /data/small.yaml | tee "$work/resumed.txt"
grep -q "prepare: done before" "$work/resumed.txt" || fail "it prepared again"
grep "resumed: epoch" "$work/runs/begun/naive_1e-4/fold0/breasts/log.breasts.txt" || fail "it trained anew"
inside runtime "$runs" -- pipeline report /runs/begun

say "the smoke demo, from drawn exams to a report"
inside runtime "$runs" -- pipeline phantom breast_mri --output /runs/cohort --preset demo --exams 16 --seed 0
inside runtime "$runs" -- data_lists csv /runs/cohort/exams.csv --lesions /runs/cohort/lesions.csv -o /runs/list.json
inside runtime "$runs" -- pipeline study "${study[@]}" --datalist /runs/list.json --out /runs/smoke \
    --overlay bundles/common/smoke.yaml
inside runtime "$runs" -- pipeline report /runs/smoke
[ -s "$work/runs/smoke/report.html" ] || fail "no report"
inside runtime "$runs" -- pipeline export bundles/breast_mri_curriculum --run /runs/smoke --variant naive_1e-4 --fold 0 \
    -o /runs/exported

say "build label"
build label --build-arg RUNTIME=localhost/runtime
info='python -S -c "import urllib.request as r; print(r.urlopen(\"http://127.0.0.1:8000/info/\").read().decode())"'
started label "$info" "$work/runs/exported:/exported:ro" "$work/studies:/studies" > "$work/info.json" \
    || { cat "$work/info.json"; fail "the server"; }
cut -c 1-300 "$work/info.json"
grep -q '"breast_mri_curriculum":{"type"' "$work/info.json" || fail "the server does not list the model"

say "build orthanc"
build orthanc
started orthanc 'ls /orthanc' "$work/archive:/orthanc" | tee "$work/archive.txt"
grep -qx index "$work/archive.txt" || fail "the archive"
say "all images built and ran"
