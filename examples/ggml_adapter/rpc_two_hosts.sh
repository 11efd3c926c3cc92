#!/bin/bash
# SPDX-License-Identifier: MIT
# One model over two hosts by llama.cpp's RPC backend, each host's CPU with the adapter: do they write
# the tokens that one host writes, and how fast? llama.cpp has to be built with the adapter and
# -DGGML_RPC=ON.
#
#   examples/ggml_adapter/rpc_two_hosts.sh LLAMA_CPP/build/bin MODEL.gguf [TOKENS] [THREADS]
#
# As root, the hosts are two network namespaces joined by a cable of their own; else two ports of this
# machine. Half of the layers lie on each host. Exit status 1 if the tokens differ.
set -euo pipefail

bin=$1 model=$2 tokens=${3:-64} threads=${4:-1}
port=50952
work=$(mktemp -d)
servers=()
name=tessera$$

clean_up() {
  for server in "${servers[@]}"; do kill "$server" 2>/dev/null || true; done
  wait 2>/dev/null || true
  ip netns del "${name}a" 2>/dev/null || true
  ip netns del "${name}b" 2>/dev/null || true
  rm -rf "$work"
}
trap clean_up EXIT

# What a command on host a or b begins with.
on_a=() on_b=()
if ip netns add "${name}a" 2>/dev/null && ip netns add "${name}b"; then
  echo "hosts: two network namespaces"
  ip link add "$name" netns "${name}a" type veth peer name "$name" netns "${name}b"
  ip -n "${name}a" addr add 10.231.7.1/24 dev "$name"
  ip -n "${name}b" addr add 10.231.7.2/24 dev "$name"
  for host in a b; do
    ip -n "$name$host" link set lo up
    ip -n "$name$host" link set "$name" up
  done
  address_a=10.231.7.1:$port address_b=10.231.7.2:$port
  on_a=(ip netns exec "${name}a") on_b=(ip netns exec "${name}b")
else
  echo "hosts: two ports of this machine"
  address_a=127.0.0.1:$port address_b=127.0.0.1:$((port + 1))
fi

# write NAME OPTIONS...: the tokens go to NAME.ids. They are read from a saved session, which begins
# with a magic number, a version, the number of tokens and the tokens; of what is printed,
# llama-completion may lose the end.
write() {
  local session=$work/$1.session
  "${on_a[@]}" "$bin/llama-completion" -m "$model" -p "Once upon a time" -n "$tokens" --temp 0 --ignore-eos \
    -t "$threads" -no-cnv --no-warmup --prompt-cache "$session" --prompt-cache-all "${@:2}" \
    >"$work/$1.log" 2>&1 </dev/null || { tail -5 "$work/$1.log"; return 1; }
  local count
  count=$(od -A n -t u4 -j 8 -N 4 "$session")
  od -A n -t d4 -w4 -v -j 12 -N $((4 * count)) "$session" >"$work/$1.ids"
}

# measure NAME OPTIONS...: prints tokens a second.
measure() {
  "${on_a[@]}" "$bin/llama-bench" -m "$model" -p 128 -n "$tokens" -t "$threads" -o csv "${@:2}" 2>/dev/null |
    python3 -c '
import csv, sys
for row in csv.DictReader(sys.stdin):
    kind = "prompt" if row["n_prompt"] != "0" else "writing"
    speed = float(row["avg_ts"])
    print(f"{sys.argv[1]}, {kind}: {speed:.1f} tokens a second")' "$1"
}

write one-host --no-repack
measure one-host --repack 0
"${on_a[@]}" "$bin/ggml-rpc-server" -H "${address_a%:*}" -p "${address_a#*:}" -t "$threads" \
  >"$work/server_a.log" 2>&1 &
servers+=($!)
"${on_b[@]}" "$bin/ggml-rpc-server" -H "${address_b%:*}" -p "${address_b#*:}" -t "$threads" \
  >"$work/server_b.log" 2>&1 &
servers+=($!)
sleep 2
write two-hosts --rpc "$address_a,$address_b" -ngl 99 -ts 1,1 -fit off
measure two-hosts --rpc "$address_a,$address_b" -ngl 99 -ts 1/1

if cmp "$work/one-host.ids" "$work/two-hosts.ids"; then
  echo "the $(wc -l <"$work/one-host.ids") tokens are equal"
else
  paste "$work/one-host.ids" "$work/two-hosts.ids"
  exit 1
fi
