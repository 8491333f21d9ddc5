#!/bin/bash
# bash.sh: the same as applets.sh for what Debian's static bash does by itself: its own features, jobs, signals, descriptors.
#
# Runs on this kernel and on Linux (test/boot/test_control.py) and prints the same on both, part by part.

exec 2>&1
export PATH=/bin:/sbin:/usr/bin:/usr/sbin TZ=UTC LANG=C
umask 022
mkdir -p /tmp/b && cd /tmp/b || exit
part() { echo "== ($1)"; }
# A child that is sent a signal before it has become the other program may take it as bash, and end as if nothing had been.
started() { until [ "$(cat /proc/$1/comm)" = "$2" ]; do :; done; }
# Lines are read before they are run.
shopt -s extglob

part version
echo "${BASH_VERSINFO[0]} $MACHTYPE $OSTYPE $HOSTNAME $EUID $UID ${GROUPS[*]} $SHLVL"
part arrays
a=(one two 'three four'); a+=(five); echo "${#a[@]} ${a[2]} ${a[@]:1:2} ${!a[@]}"
declare -A m=([x]=1 [y]=2); m[z]=3; for k in "${!m[@]}"; do echo "$k=${m[$k]}"; done | sort; unset 'm[x]'; echo ${#m[@]}
mapfile -t lines < <(seq 5); echo "${lines[@]: -2}"
part arithmetic
echo $((2**62)) $((16#ff)) $((7 / 2)) $((-7 % 3)) $((1 << 40)); ((x = 5, x++)); echo $x; let y=x*2; echo $y
echo $((1/0))
echo status $?
part strings
s='Hello, World'; echo "${s,,} ${s^^} ${s/o/0} ${s//o/0} ${s#*, } ${s%%,*} ${#s} ${s:7} ${s: -5:3}"; printf -v v '%05.2f|%q|%(%Y)T' 3.14159 'a b' 0; echo "$v"; echo $'tab\there' "${s@Q}"
part matching
[[ abc123 =~ ^([a-z]+)([0-9]+)$ ]] && echo "${BASH_REMATCH[1]} ${BASH_REMATCH[2]}"; [[ file.txt == *.txt ]] && echo glob; shopt -s nullglob globstar; mkdir -p g/h/i; touch g/a.c g/b.h g/h/c.c g/h/i/d.c; echo g/**/*.c; echo g/!(*.c); echo nothing*; case x in [a-w]) echo no ;;& x|y) echo yes ;;& *) echo and this ;; esac
part braces
echo {1..5} {a..e..2} x{1,2}y {01..03}
part functions
f() { local -n ref=$1; ref=changed; return 7; }; g=old; f g; echo "$? $g"; r() { (($1 > 0)) && r $(($1 - 1)) || echo bottom ${#FUNCNAME[@]}; }; r 50
part substitution
echo "$(< /proc/sys/kernel/ostype)" "$(echo a; exit 3)" $?; diff <(seq 3) <(seq 4); tee >(tr a-z A-Z >up) <<<"here string" >/dev/null; while [ ! -s up ]; do :; done; cat up; echo <(:) | sed 's/[0-9][0-9]*/N/'
part redirection
exec {fd}>out; echo $((fd >= 10)); echo one >&$fd; echo two >&$fd; exec {fd}>&-; cat out; echo err >&2 2>/dev/null; { echo a; echo b >&2; } &>both; cat both; echo more &>>both; wc -l <both; cat <<-X
	tabs $s
	X
cat <<'X'
literal $s
X
exec 3<>out; read -r -u 3 line; echo "$line"; echo changed >&3; exec 3>&-; cat out; set -C; echo x >out; echo "status $?"; set +C; echo x >|out; cat out; : >/nowhere/x
echo "status $?"; echo x >/dev/full; echo "status $?"; cat <&9
echo "status $?"
part read
IFS=: read -r -a parts <<<'a:b::c'; echo "${#parts[@]} ${parts[2]-} ${parts[3]}"; read -n 3 three <<<abcdef; echo $three; read -t 0.1 -r nothing < <(sleep 1); echo "status $(($? > 128))"; read -d '' -r all <<<$'x\ny'; echo "$all"; while read -r l; do echo -n "<$l>"; done < <(printf 'p\nq\n'); echo
part pipes
false | true; echo "${PIPESTATUS[@]}"; set -o pipefail; false | true; echo $?; set +o pipefail; yes | head -n 2; echo "${PIPESTATUS[@]}"; seq 100000 | tail -n 1; shopt -s lastpipe; echo last | read -r last; echo $last; ! true; echo $?; echo x |& cat
part jobs
sleep 0.1 & wait $!; echo $?; (exit 5) & wait $!; echo $?; sleep 100 & started $! sleep; kill -TERM $!; wait $!; echo $?; for i in 1 2 3; do (sleep 0.$i; exit $i) & done; wait -n; echo $?; wait -n; echo $?; wait; echo $?; wait 1; echo $?
sleep 50 & started $! sleep; jobs | sed 's/  */ /g'; kill %1; wait %1 2>/dev/null; echo $?; disown -a; (sleep 0.05 & wait -n -p who; [ -n "$who" ] && echo told)
part monitor
set -m; sleep 100 & p=$!; started $p sleep; [ "$(cut -d' ' -f5 /proc/$p/stat)" = $p ] && echo own group; kill -STOP $p; wait $p; echo $?; jobs | sed 's/  */ /g'; kill -CONT $p; kill $p; while kill -0 $p 2>/dev/null; do :; done; wait $p; echo $?; set +m
part coproc
coproc C { while read -r l; do echo "got $l"; done; }; echo hi >&${C[1]}; read -r -u ${C[0]} back; echo $back; exec {C[1]}>&-; wait $C_PID; echo $?
part traps
trap 'echo usr1' USR1; kill -USR1 $$; echo after; trap - USR1; (trap 'echo leaving' EXIT; exit 2); echo $?; (trap 'echo term; exit 4' TERM; kill -TERM $BASHPID; sleep 1); echo $?; trap 'echo err $?' ERR; false; trap - ERR; (trap 'echo child' CHLD; sleep 0.01; :); trap '' INT; kill -INT $$; echo ignored; trap -p; trap - INT; f() { trap 'echo returned' RETURN; }; f; trap - RETURN; trap 'echo debug $BASH_COMMAND' DEBUG; :; trap - DEBUG
part ends
bash -c 'exit 300'; echo $?; bash -c 'kill -SEGV $$'; echo $?; bash -c 'kill -ABRT $$'; echo $?; bash -c 'exec nosuch'; echo $?; nosuch; echo $?; /tmp; echo $?; ./out; echo $?; bash -c 'set -e; false; echo no'; echo $?; bash -c 'set -u; echo $nothing'; echo $?; (ulimit -c 0; kill -QUIT $BASHPID); echo $?; bash -n <<<'if'; echo $?
part ulimit
ulimit -a; ulimit -S -n 64; ulimit -n; ulimit -H -n; ulimit -s; (ulimit -u 1; (echo still)); (ulimit -s 300; exec bash -c 'f() { f; }; f' >/dev/null 2>&1); echo $?
part options
set -o | sort | head -n 30; echo $-; shopt | wc -l; umask -S; umask 077; touch um; stat -c %a um; umask 022; hash -r; type -t cd ls if nosuch; command -v sh; enable -n echo; type -t echo; enable echo; times | sed 's/[0-9]/0/g'; help -s true
part directories
pushd g >/dev/null; pushd h; dirs -v; popd; popd; cd g/h; cd ../..; echo ${PWD##*/} ${OLDPWD##*/}; cd -P /proc/self/cwd; pwd; cd nowhere; echo $?; cd out; echo $?; mkdir gone; cd gone; rmdir ../gone; pwd; /bin/pwd; echo $?; touch x; echo $?; cd /tmp/b; echo ~ ~nobody
part tests
[ -e g ] && echo e; [ -d g -a ! -f g ] && echo d; test -t 0 && echo terminal; [ out -nt um ] || echo older; [ out -ef ./out ] && echo same; [ -O out ] && [ -G out ] && echo mine; [ -r /etc/shadow ] || echo no shadow; [ -S out ] || echo no socket; [ -k /tmp ] && echo sticky; [ -x out ] || echo not executable
part select
PS3='? '; select x in a b; do echo "chose $x"; break; done <<<2
part getopts
set -- -a -b val rest; while getopts ab: o; do echo "$o ${OPTARG-}"; done; shift $((OPTIND - 1)); echo $1; set -- $(seq 20); echo ${20} $#
part time
TIMEFORMAT='%R %U %S'; { time sleep 0.01; } 2>&1 | sed 's/[0-9]/0/g'; printf '%(%F)T\n' 0; [ $EPOCHSECONDS -gt 1700000000 ] && echo now; a=$SECONDS; ((a < 1000)) && echo seconds; echo $((RANDOM < 32768))
part processes
[ $$ = $BASHPID ] && echo same; (([ $$ != $BASHPID ]) && echo differs); bash -c 'echo $PPID' | grep -cx $$; exec -a renamed bash -c 'echo $0' | cat; (exec -c env | sort); echo $$ | grep -c .; for i in {1..50}; do (exit $((i % 3))) || ((n++)); done; echo $n; x=$(for i in {1..20}; do echo $i | cat; done | wc -l); echo $x
part history
set -o history
echo one >/dev/null
history | sed 's/^ *[0-9]* *//'
set +o history
