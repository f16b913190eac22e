#!/bin/sh
# Rate-distortion ladders against x264, x265 and SVT-AV1: one `inr bench` for each clip. Finished points are kept.
#
#   INR_CLIPS=DIR sh benchmarks/ladders.sh OUT quick   # 32 frames at half size, a minute for each fit: about ten minutes on two cores
#   INR_CLIPS=DIR sh benchmarks/ladders.sh OUT cpu     # bunny-mid, four points of a quarter of an hour each
#   INR_CLIPS=DIR sh benchmarks/ladders.sh OUT gpu     # five points of bunny-mid and bunny-full side by side on one GPU: eight minutes
#
# DIR holds bunny-small.mkv, bunny-mid.mkv and bunny-full.mkv, and for `quick` also BasketballPass*.mkv and tennis*.mkv.
set -eu
out=$1
codecs=inr,x264,x265,svtav1
[ -n "${INR_CLIPS:-}" ] || { echo "skipped: INR_CLIPS is unset"; exit 0; }
case $2 in
quick)
    inr bench "$INR_CLIPS"/bunny-small.mkv --codecs $codecs --points 3 --bpp 0.02:0.12 --time-budget 60s -o "$out/bunny-small"
    for clip in "$INR_CLIPS"/BasketballPass*.mkv "$INR_CLIPS"/tennis*.mkv; do
        inr bench "$clip" --codecs $codecs --points 2 --bpp 0.05:0.2 --frames 0:32 --scale 1/2 --time-budget 60s -o "$out/$(basename "$clip" .mkv)"
    done ;;
cpu) inr bench "$INR_CLIPS"/bunny-mid.mkv --codecs $codecs --points 4 --bpp 0.01:0.1 --time-budget 14m -o "$out/bunny-mid" ;;
gpu)  # side by side, because a single fit leaves most of a GPU idle
    export XLA_PYTHON_CLIENT_PREALLOCATE=false XLA_FLAGS=--xla_gpu_enable_triton_gemm=false
    points="mid:0.0118 mid:0.0342 mid:0.0979 full:0.0185 full:0.037"
    mkdir -p "$out"
    for point in $points; do
        inr encode "$INR_CLIPS/bunny-${point%:*}.mkv" "$out/bunny-$point.inr" --target-bpp "${point#*:}" --preset 24000 --time-budget 460s --json >"$out/bunny-$point.log" &
    done
    wait
    for clip in mid full; do
        inr bench "$INR_CLIPS/bunny-$clip.mkv" --codecs x264,x265,svtav1 --anchor x264 --points 6 -o "$out/hybrids"
        python "$(dirname "$0")/against.py" "$out/hybrids" "$INR_CLIPS/bunny-$clip.mkv" "$out/bunny-$clip":*.inr
    done ;;
*) echo "quick, cpu or gpu?" >&2; exit 2 ;;
esac
