#!/usr/bin/env bash
# Checks and times everything of this bundle on the machine's first GPU. See README.txt.
#
#   ./run.sh [--cpu] [--only STEP,STEP] [RESULTS]
#
# Every step runs, whatever became of those before; the exit code is 1 when one failed.
set -u

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
bin=$here/bin
mode=${DIS_BUNDLE_MODE:-gpu}
only=
inner=
results=./results

while [ $# -gt 0 ]; do
    case $1 in
        --cpu) mode=cpu ;;
        --only) only=,${2:?"--only what? Steps of README.txt, with commas between"},; shift ;;
        --inner) inner=$2; shift ;;
        -h | --help) sed -n '2,6s/^# \{0,1\}//p' "$0"; exit 0 ;;
        -*) echo "error: unknown flag $1; see $0 --help" >&2; exit 2 ;;
        *) results=$1 ;;
    esac
    shift
done

if [ "$mode" = gpu ]; then
    device=cuda
    steps=400
else
    device=cpu
    steps=2
fi

# Where CUDA may lie. Nothing is linked, so the loader has to find libcuda and libcublas by name.
cuda_folders() {
    python3 - 2>/dev/null <<'PYTHON'
import glob, os
import nvidia
for root in nvidia.__path__:
    for folder in sorted(glob.glob(os.path.join(root, "*", "lib"))):
        print(folder)
PYTHON
    local folder
    for folder in /usr/local/nvidia/lib64 /usr/local/cuda-13*/lib64 /usr/local/cuda/lib64; do
        [ -d "$folder" ] && echo "$folder"
    done
}

# Whether the loader finds a library.
sees() {
    ldconfig -p 2>/dev/null | grep -q "$1" && return
    local IFS=: folder
    for folder in ${LD_LIBRARY_PATH:-} /lib/x86_64-linux-gnu /usr/lib/x86_64-linux-gnu /usr/lib64; do
        [ -e "$folder/$1" ] && return
    done
    return 1
}

add_folders() {
    [ -n "$1" ] && export LD_LIBRARY_PATH=$1${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
}

# The first folder with a library, anywhere on this machine, but for those with stand-ins.
folder_with() {
    timeout 30 find / \( -path /proc -o -path /sys -o -name stubs -o -name compat \) -prune \
        -o -name "$1" -printf '%h\n' -quit 2>/dev/null
}

find_cuda() {
    add_folders "$(cuda_folders | paste -sd:)"
    [ "$mode" = cpu ] && return
    local library
    for library in libcuda.so.1 libcublas.so.13; do
        sees $library || add_folders "$(folder_with $library)"
    done
}

# What the machine is.
step_machine() {
    date -u
    uname -a
    nproc
    echo "bundle $(cat "$here/commit.txt")"
    echo "LD_LIBRARY_PATH=${LD_LIBRARY_PATH:-}"
    cat /proc/driver/nvidia/version 2>/dev/null
    nvidia-smi 2>/dev/null
    ldd "$bin/dis"
    ! ldd "$bin/dis" | grep 'not found' || return 1
    [ "$mode" = cpu ] && return
    sees libcuda.so.1 || { echo "no libcuda.so.1: is the NVIDIA driver installed?"; return 1; }
    sees libcublas.so.13 || { echo "no libcublas.so.13: pip install nvidia-cublas"; return 1; }
}

step_doctor() {
    if [ "$mode" = gpu ]; then "$bin/dis" doctor --device cuda; else "$bin/dis" doctor; fi
}

# Runs every test whose name holds $2 in a process of its own, because an error of a GPU spoils all
# that its process does after. A test that skips has failed where there is a GPU, and else not.
each_test() {
    local program=$bin/$1 filter=$2 folder=$results/$1 jobs
    jobs=$((($(nproc) + 1) / 2))
    [ $jobs -gt 6 ] && jobs=6
    mkdir -p "$folder"
    "$program" --list --format terse | sed -n 's/: test$//p' | grep -e "$filter" >"$folder/tests.txt"
    [ -s "$folder/tests.txt" ] || { echo "$1 has no tests"; return 1; }
    export program folder mode
    xargs -P $jobs -I '{}' bash -c '
        log=$folder/$(echo "$1" | tr -s : .).log
        start=$SECONDS
        "$program" --exact "$1" --nocapture >"$log" 2>&1
        code=$? verdict=ok
        if grep -q "skipped, no" "$log"; then
            verdict=skipped
            [ "$mode" = gpu ] && code=1
        elif [ "$mode" = cpu ]; then
            verdict="ran without a GPU"
            code=1
        fi
        [ $code -ne 0 ] && verdict="FAILED, $verdict ($code)"
        printf "%-60s %-12s %4d s\n" "$1" "$verdict" $((SECONDS - start))
        exit $((code != 0))
    ' _ '{}' <"$folder/tests.txt"
    local code=$?
    echo "$1: $(wc -l <"$folder/tests.txt") tests"
    return $code
}

# Every operator against its definition, in f32 and bf16.
step_kernels() {
    each_test kernels-parity 'cuda::'
}

# Gradients and ten steps of small networks against the CPU's.
step_training() {
    each_test training-parity ''
}

# train RUN FLAGS: the small experiment.
train() {
    local run=$1
    shift
    "$bin/dis" train "$here/config.toml" --device $device --run-dir "$results/runs/$run" \
        --set train.steps=$steps --set train.warmup_steps=1 --set train.log_every=1 \
        --set train.checkpoint_every=$((steps / 2)) --set train.sample_every=$steps \
        --set sample.steps=4 --set sample.count=4 "$@"
}

# A run in two sittings has the bits of a run in one.
step_train() {
    rm -rf "$results/runs"
    train parts --max-steps $((steps / 2)) || return
    train parts || return
    train whole || return
    local last
    last=checkpoints/step-$(printf %09d $steps)
    local file
    for file in model.safetensors optimizer.safetensors; do
        cmp "$results/runs/parts/$last/$file" "$results/runs/whole/$last/$file" || return
    done
    echo "the same bits after $steps steps, in one sitting and in two"
}

step_sample() {
    "$bin/dis" sample "$results/runs/whole" --device $device --count 8 --steps 4 \
        --out "$results/samples"
}

# The time of every kernel and of whole networks.
step_bench() {
    if [ "$mode" = cpu ]; then
        "$bin/kernels-bench" --help && ! "$bin/kernels-bench" --probe
        return
    fi
    "$bin/kernels-bench" --bench --json "$results/kernels.json" --commit "$(cat "$here/commit.txt")"
}

# The time of whole networks as `dis bench` sees it, from the host.
step_network() {
    local batch=128 rounds=20 training code=0
    [ "$mode" = cpu ] && batch=1 rounds=1
    for training in '' --train; do
        "$bin/dis" bench S-384/2 --device $device --batch $batch --rounds $rounds $training || code=1
    done
    return $code
}

# step NAME SECONDS: runs step_NAME for at most that long, keeps its output and how it ended.
step() {
    local name=$1 limit=$2 start=$SECONDS code verdict=ok
    case $only in '' | *",$name,"*) ;; *) return ;; esac
    echo "=== $name"
    DIS_BUNDLE_MODE=$mode timeout -k 10 "$limit" bash "$here/run.sh" --inner "$name" "$results" \
        >"$results/$name.log" 2>&1
    code=$?
    tail -n 12 "$results/$name.log"
    if [ $code -ne 0 ]; then
        verdict="FAILED ($code)"
        failures=$((failures + 1))
    fi
    [ $code -eq 124 ] && verdict="ENDED (124)"
    printf '%-10s %-13s %5d s\n' "$name" "$verdict" $((SECONDS - start)) | tee -a "$summary"
}

if [ -n "$inner" ]; then
    "step_$inner"
    exit
fi

mkdir -p "$results" || exit 2
results=$(cd "$results" && pwd)
summary=$results/summary.txt
failures=0
# A file sent from machine to machine may have lost this.
chmod +x "$bin"/* 2>/dev/null
find_cuda
echo "bundle $(cat "$here/commit.txt"), $mode, $(date -u +%Y-%m-%dT%H:%M:%SZ)" >"$summary"

# Together less than ten minutes, even where each takes all its time but the kernels' tests.
step machine 30
step doctor 60
step kernels 300
step training 120
step train 90
step sample 60
step bench 240
step network 90

echo "$failures failed" | tee -a "$summary"
[ $failures -eq 0 ]
