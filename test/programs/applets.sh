#!/bin/sh
# applets.sh: what programs see of a kernel, told by 150 and more of busybox's applets.
#
# Runs as the work of /init, on this kernel and on Linux (test/boot/test_control.py), and prints the same on both: a line
# "== NAME" before what the applet NAME shows. What must differ all the same (numbers of processes, times, sizes of memory)
# stands in `applets.differs.txt` beside this file, with its reason; nothing is left out here because a kernel has it wrong.
#
# What the shell has built in is asked for as `busybox NAME`, so that it is a program all the same. Files are in a tmpfs of
# the script's own, of which both kernels know the same.

exec 2>&1
export PATH=/bin:/sbin:/usr/bin:/usr/sbin TZ=UTC LANG=C
umask 022

# Names the applet that comes.
s() {
    echo "== $1"
    case $applets in *" $1 "*) ;; *) echo "no such applet" ;; esac
}
# Begins a part that belongs to no applet.
part() { echo "== ($1)"; }
# What a command's status is; a signal has its number plus 128.
status() { "$@"; echo "status $?"; }
# Waits until so many programs are called sleep: a child is the shell for a moment first.
sleepers() { until [ "$(pidof sleep | wc -w)" = $1 ]; do :; done; }
applets=" $(busybox --list | tr '\n' ' ') "

s mount
mkdir -p /tmp/w /mnt /var/log && mount -t tmpfs -o size=16m,nr_inodes=1000,mode=755,nosuid work /tmp/w
cd /tmp/w
mount | grep /tmp/w
mkdir m && mount -t tmpfs -o ro,size=1m,nr_inodes=50,noexec,mode=700,uid=5,gid=5 none m; mount | grep none
status busybox touch m/x
mount -o remount,rw m && touch m/x && ls m
mkdir bound && mount --bind m bound && ls bound; grep -c bound /proc/mounts; mount -o remount,ro,bind bound; status busybox touch bound/y; status umount bound; ls bound; mount -o bind five nowhere
mount -t tmpfs over m; ls m; umount m; ls m; mount -t tmpfs -o size=no none bound; echo $?; mount -t tmpfs -o noatime,nodiratime,nodev,sync,mode=1777 none bound; mount | grep 'on /tmp/w/bound'; umount bound
mkdir moved; mount --move m moved; ls m moved; mount --move moved m
status mount -t nosuchtype none m; status mount -t nosuchtype none nowhere; status mount -t tmpfs none nowhere; status mount -t tmpfs none /bin/busybox
grep -c ' /tmp/w' /proc/mounts
s umount
cd m; status umount /tmp/w/m; cd ..; (exec 5<m/x; umount m; umount -l m; ls m; wc -c <&5)
status umount m; status umount nothere; status umount /tmp; rmdir m bound moved
s df
df -k /tmp/w
df -i /tmp/w
df -T /tmp/w | tail -n 1
dd if=/dev/zero of=big bs=1M count=5 2>/dev/null; df -k /tmp/w; rm big
dd if=/dev/zero of=big bs=1M count=20; ls -l big; rm big; df -m /tmp/w

printf 'one\ntwo\nthree\nfour\nfive\n' >five
printf 'b 2\na 10\nc 1\na 9\n' >pairs
seq 1 300 >numbers
mkdir -p tree/a/b tree/c; echo deep >tree/a/b/deep; echo x >tree/c/x; : >tree/empty
touch -d '2025-03-04 05:06:07' five tree/empty tree/c/x tree/a/b/deep tree/a/b tree/a tree/c tree

s cat
cat five - <pairs
cat -n five; cat -A pairs; status cat nothere; status cat tree
s echo
busybox echo -e 'a\tb\n' c; busybox echo -n; busybox echo x >/dev/full; echo $?
s printf
busybox printf '%5d|%-5s|%x|%o|%e|%c\n' 42 ab 255 8 1.5 xyz; status busybox printf '%d\n' no
s true
status busybox true
s false
status busybox false
s test
status busybox test -d tree; status busybox test tree/c/x -nt five; busybox test -p five -o -L five; echo $?
status busybox test -w /proc/version; status busybox test -c /dev/null
s [
busybox [ 3 -gt 2 ] && echo yes
s [[
busybox [[ abc == abc ]] && echo yes
s pwd
cd tree/a; busybox pwd; ln -s /tmp/w/tree /tmp/w/lt; cd /tmp/w/lt/c; busybox pwd; pwd; cd /tmp/w; rm lt
s expr
expr 6 '*' 7; expr abcde : 'ab\(.*\)e'; expr length hello; status expr 1 - 1; status expr 1 / 0
s env
env -i A=1 B='2 3' env; env -u TZ sh -c 'echo ${TZ-unset}'; status env nosuchprogram; status env /tmp
s seq
seq 3; seq 2 3 11; seq -w 8 11; seq 3 -1 1; seq -s , 4
s sort
sort pairs; sort -k2n pairs; sort -r -u -k1,1 pairs; sort -c pairs; sort -rn numbers | head -n 3; sort -n numbers pairs | tail -n 2
s uniq
printf 'a\na\nb\nb\nb\nc\n' >u; uniq u; uniq -c u; uniq -d u; uniq -u u
s cut
cut -d' ' -f2 pairs; cut -c2-3 five; cut -b1 five | tr -d '\n'; echo
s tr
tr a-z A-Z <five; tr -d aeiou <five; tr -s 'e' <five; echo 'a1b2' | tr -c '[:digit:]\n' .
s head
head -n 2 five; head -c 5 five; echo; head -n -3 five; head -n 1 five pairs
s tail
tail -n 2 five; tail -c 5 five; tail -n +4 five; tail -n 1 five pairs; seq 5 | tail -n 1
echo first >grows; tail -f grows >seen & p=$!; until grep -qs first seen; do :; done; echo more >>grows; until grep -q more seen; do sleep 0.1; done; kill $p; wait $p; echo $?; cat seen; rm seen grows
s wc
wc five pairs; wc -l <numbers; wc -L five; cat numbers | wc -c
s nl
nl five; printf 'a\n\nb\n' | nl -b a
s tac
tac five
s rev
rev five
s fold
fold -w 3 five; echo 'a long line of words' | fold -s -w 8
s expand
printf 'a\tb\n' | expand -t 4
s unexpand
printf 'a       b\n' | unexpand -a | cat -A
s paste
paste five pairs; paste -s -d, five
s tee
echo tee | tee t1 t2; cat t1 t2; echo more | tee -a t1 >/dev/null; cat t1; echo z | tee /dev/full; echo $?
s yes
yes | head -n 3; yes a b | sed 2q
s shuf
shuf -i 1-20 | sort -n | tr '\n' ' '; echo; shuf -n 2 five | wc -l
s cmp
cmp five five; status cmp five pairs; status cmp -s five numbers; cmp -l five pairs 2>/dev/null; status cmp five nothere
s diff
cp five five2; sed -i 's/two/2/' five2; status diff five five2; diff -u five five2 | sed 's/\t.*//'; cp -r tree tree2; echo y >tree2/c/x; rm tree2/empty; diff -r tree tree2; diff -q five pairs
s patch
diff -u five five2 >p; cp five five3; patch five3 <p; cmp five3 five2; patch -R five3 <p; cmp five3 five; status patch five3 <numbers
s grep
grep -n t five; grep -v t five; grep -c e five; grep -rl deep tree; grep -o 'e.' five; status grep -q zzz five; grep -A1 -B1 three five; grep -w one five; status grep x nothere
s egrep
egrep '^(one|five)$' five
s fgrep
fgrep -x two five; echo 'a.c' | fgrep .
s sed
sed -n '2,3p' five; sed 's/\(t\)\(.*\)/\2\1/;/four/d' five; sed -e '1i\' -e 'top' -e '$a\' -e 'end' five; sed -n '$=' numbers; sed 'y/abc/xyz/;N;P;D' pairs; cp five f6; sed -i.bak 1d f6; ls f6*; head -n1 f6
s awk
awk '{s+=$2} END {print s, NR}' pairs; awk -F' ' '{a[$1]=a[$1] $2 ";"} END {for (k in a) print k, a[k]}' pairs | sort
awk 'BEGIN {printf "%.3f %s %d\n", 1.5, substr("hello",2,3), index("abc","c"); "echo piped" | getline x; print x; fflush(); system("echo system"); print length(ENVIRON["TZ"]); exit 3}'; echo $?
awk 'BEGIN {print "to file" > "awkout"; close("awkout"); while ((getline l < "awkout") > 0) print l; print toupper("x") | "cat"}'
s ed
printf '1,2p\n2s/two/TWO/\n/three/d\na\nadded\n.\n,p\nw edout\nq\n' | ed five; cat edout
s vi
cp five vifile; vi -c '2d' -c 's/one/ONE/' -c '$s/five/5/' -c wq vifile >/dev/null; echo $?; cat vifile
s bc
printf '2^64\nscale=5\n10/3\nsqrt(2)\nfor (i=0;i<3;i++) i*i\n' | bc
s dc
dc -e '3 4 + p 2 10 ^ p 16 o 255 p'
s factor
factor 1 97 360 4294967297
s cal
cal 2 2024; cal -j 3 2025
s date
date -u -d @0; date -u -d '2025-02-28 12:00:00' '+%F %T %s %j %a'; date -u -d @1735689600 -R; date -u -r tree/empty -Iseconds; date +%Y; status date -d nonsense
s ascii
ascii | head -n 4
s base64
base64 five; base64 five | base64 -d | cmp - five; status base64 -d pairs
s uuencode
uuencode five name; uuencode -m five name
s uudecode
uuencode five uu.out | uudecode && cmp five uu.out; ls -l uu.out | cut -c1-10
s xxd
xxd five; xxd -p five; xxd -p five | xxd -r -p | cmp - five
s hexdump
hexdump -C five; hexdump five; hexdump -e '4/1 "%02x " "\n"' -n 8 five
s od
od -c five; od -An -tx4 -j4 -N8 five; od -b pairs | tail -n 1
s strings
printf 'abc\0\1hello there\0xy' | strings; strings -n 12 /bin/busybox | grep -m1 'multi-call'
s dos2unix
printf 'a\r\nb\r\n' >dos; dos2unix dos; cat -A dos
s unix2dos
unix2dos dos; cat -A dos
s crc32
crc32 five pairs
s md5sum
md5sum five pairs; md5sum five >sum; md5sum -c sum; echo bad >>five2; sed -i s/five/five2/ sum; status md5sum -c sum
s sha1sum
sha1sum numbers /dev/null
s sha256sum
sha256sum numbers; sha256sum </dev/null
s sha512sum
sha512sum numbers
s sha3sum
sha3sum numbers; sha3sum -a 512 five

s cp
cp five c1; cp -a tree tree3; ls -lR tree3; cp -l five hard; stat -c %h five; cp -s /tmp/w/five soft; readlink soft; status cp tree c2; cp -p tree/empty c3; stat -c '%y %n' c3; status cp five nodir/x; cp -r /proc/self/fd/0 c4; ls -l c4 | cut -c1-10; status cp five five; rm hard soft
s mv
mv c1 c5; ls c1 c5; mkdir d1; mv c5 d1; ls d1; status mv nothere x; mv -n d1/c5 five; mv d1/c5 .; status mv tree tree/a/b; rmdir d1; mv c5 /tmp/other; ls /tmp/other; mv /tmp/other .; rm other
s rm
: >r1; rm r1; status rm r1; status rm -f r1; status rm tree; rm -r tree3; ls -d tree3; rm -rf tree2 nothere; echo $?; status rm -r /tmp/w/.
s rmdir
mkdir -p e1/e2; status rmdir e1; rmdir -p e1/e2; ls -d e1; status rmdir nothere; status rmdir five; status rmdir /proc
s mkdir
mkdir -m 700 k; stat -c '%A %a' k; status mkdir k; status mkdir nodir/x; mkdir -p k/l/m; find k; status mkdir /proc/x; rm -r k
s ln
ln five five.h; stat -c '%h' five; ln -s five five.s; ls -l five.s | sed 's/.*five.s/five.s/'; status ln five five.h; ln -sf nowhere five.s; status cat five.s; status ln tree tree.h; status ln nothere x; ln -s loop loop; status cat loop; rm five.h five.s loop; status ln five /proc/x; status ln five /dev/x
s link
link five lk && cmp five lk; status link five lk
s unlink
unlink lk; status unlink lk; status unlink tree
s readlink
ln -s tree/a/../c/x rl; readlink rl; readlink -f rl; status readlink five; readlink -f nothere; readlink /proc/self/cwd; readlink /proc/1/root; readlink /proc/self/exe
s realpath
realpath rl tree/./a/..; status realpath no/where; realpath /proc/self/fd/../cwd
rm rl
s ls
ls; ls -a tree; ls -l tree; ls -ld tree; ls -F /tmp/w | head -n 4; ls -1R tree; ls -S five numbers; ls -t tree; ls -s numbers; ls -n tree; ls -lh numbers | cut -c1-40; status ls nothere; ls -p tree; ls -x tree
ls -l /dev/null /dev/zero /dev/full /dev/random /dev/urandom /dev/tty /dev/console /dev/ptmx /dev/kmsg | cut -c1-42,57-; ls -l /dev/fd /dev/stdin /dev/stdout /dev/stderr | sed 's/.*\/dev/\/dev/'; ls -ld /dev /dev/pts /dev/shm /tmp /proc /root | cut -c1-10,58-
s stat
stat -c '%n %s %b %B %F %a %A %u %g %h %o %t %T' five tree /dev/null /dev/zero numbers; stat -c '%x %y' tree/empty | cut -c1-11,37-; stat -f -c '%T %s %S %l %t' /tmp/w /proc /dev/pts; stat -t tree/empty | cut -d' ' -f2-3,5-6; status stat nothere; stat -c %s /proc/version /proc/self /proc/self/maps; ln -s five sl; stat -c '%F %s' sl; stat -L -c %F sl; rm sl; stat -c '%F %a %s' /proc/self/fd /proc/self/fd/0 /proc/1/exe /proc/self/cwd
s touch
touch -d '2001-02-03 04:05:06' t1; stat -c %y t1; touch -r tree/empty t1; stat -c %y t1; touch -c nothere; ls nothere; touch -t 202501020304.05 t1; stat -c '%x %y' t1; status touch nodir/x; touch /proc/version; echo $?
s chmod
chmod 640 t1; stat -c %a t1; chmod u+x,g-r,o=rw t1; stat -c %A t1; chmod 4755 t1; stat -c %A t1; chmod a-x,+t t1; stat -c %A t1; mkdir cm; chmod 2775 cm; mkdir cm/in; : >cm/f; stat -c '%A %g' cm cm/in cm/f; chmod -R go-rwx cm; find cm | sort | xargs stat -c '%a %n'; status chmod 600 nothere; rm -r cm; status chmod 600 /proc/version; chmod 444 /proc/self/mem; echo $?
s chown
chmod 6755 t1; chown 65534:5 t1; stat -c '%u %g %U %G %a' t1; chown root t1; chown :nogroup t1; stat -c '%U %G' t1; ln -s t1 cl; chown -h 5 cl; stat -c %u t1 cl; rm cl; status chown nobody nothere; status chown nosuchuser t1; su -s /bin/sh nobody -c 'chown nobody /tmp/w/t1'; echo $?
s chgrp
chgrp tty t1; stat -c %G t1; status chgrp nosuchgroup t1
s mknod
mknod n1 p; mknod n2 c 1 3; mknod -m 600 n3 b 7 200; stat -c '%n %F %a %t:%T' n1 n2 n3; status mknod n2 c 1 5; rm n1 n3; echo x >n2; echo $?; wc -c <n2; status mknod n4 c 1 300; rm n2 n4; status mknod /proc/n c 1 3; mknod n5 c 200 7; status cat n5; mknod n6 b 200 7; status cat n6; rm n5 n6
s mkfifo
mkfifo -m 600 ff; ls -l ff | cut -c1-10; (echo through >ff) & cat ff; wait; (cat <ff >got) & echo back >ff; wait; cat got; rm ff; status mkfifo tree
s mktemp
mktemp -d /tmp/w/XXXXXX | sed 's/[^/]*$/~/' ; f=$(mktemp -p .); stat -c '%a %s' $f; rm $f; status mktemp nodir/XXXXXX; status mktemp nox; rmdir /tmp/w/??????
s dd
dd if=numbers of=dd1 bs=10 count=3; dd if=numbers bs=1 skip=5 count=4 2>/dev/null; dd if=/dev/zero of=dd1 bs=1 seek=100 count=1 conv=notrunc 2>/dev/null; stat -c %s dd1; head -c 5000 /dev/zero | dd bs=1k 2>&1 >/dev/null | head -n 2; dd if=five ibs=2 obs=7 2>&1; status dd if=nothere; status dd if=/dev/zero of=/dev/full bs=10 count=1; dd if=five conv=ucase,swab 2>/dev/null; dd if=tree of=x; dd if=five bs=4 count=2 iflag=skip_bytes skip=3 2>/dev/null; echo
s truncate
truncate -s 10000 tr; stat -c '%s %b' tr; truncate -s +5 tr; truncate -s 3 tr; od -c tr; status truncate -s 0 tree; rm tr; truncate -c -s 9 tr; ls tr; status truncate -s 99999999999999999 tr; rm -f tr
s fallocate
fallocate -l 20000 fa; stat -c '%s %b' fa; fallocate -o 8192 -l 100000 fa; stat -c '%s %b' fa; status fallocate -l 100m fa; status fallocate -l 5 tree; rm fa
s shred
echo secret >sh1; shred -n 1 -z sh1; od -c sh1; shred -u sh1; ls sh1
s sync
sync; echo $?; sync five; echo $?; sync -f five; echo $?
s du
mkdir du; dd if=/dev/zero of=du/a bs=1k count=10 2>/dev/null; echo >du/b; ln du/a du/c; du du; du -a du | wc -l; du -s du; du -sh du; du -l du; du -c du five; rm -r du
s find
find tree | sort; find tree -type f -name '*e*' | sort;  find tree -size -1 -type f | sort; find tree -newer five | sort; find tree -perm 755 -type d | sort; find tree -mmin +1 -type f | sort; find tree -exec echo {} + | tr ' ' '\n' | sort; find tree -depth | tail -n 1; find tree -maxdepth 1 -user root -group root | sort; find tree -links 1 -type f -print0 | tr '\0' '\n' | sort; find tree -inum $(stat -c %i tree/c/x); status find nothere; find tree -prune; find tree ! -type d -a \( -name x -o -name deep \) | sort; find tree -path '*/a/*' | sort; find /dev/null -type c; find tree -regex '.*c/.'; find . -xdev -type p
s xargs
seq 5 | xargs; seq 5 | xargs -n 2 echo -; printf 'a b\0c' | xargs -0 -n 1; echo x | xargs -I@ echo @-@; status xargs false <five; echo | xargs -r echo no; seq 2000 | xargs echo | wc -l; seq 4 | xargs -P 2 -n 1 sh -c 'exit 0'; echo $?; echo 1 | xargs sh -c 'exit 255'; echo $?; echo 1 | xargs nosuchprogram; echo $?; echo a | xargs sh -c 'kill -9 $$'; echo $?
s basename
basename /a/b.c .c; basename /
s dirname
dirname /a/b; dirname a; dirname /
s which
which ls sh; status which nosuchprogram
s run-parts
mkdir rp; printf '#!/bin/sh\necho first $1\n' >rp/1a; printf '#!/bin/sh\necho second; exit 3\n' >rp/2b; chmod +x rp/*; echo no >rp/3.x; run-parts --test rp; status run-parts -a arg rp; rm -r rp
s nuke
mkdir -p nk/x; nuke nk; ls nk

s gzip
gzip -k numbers; ls numbers*; gzip -c numbers | gzip -t; echo $?; gzip -9 -c numbers | wc -c; gzip -l numbers.gz; status gzip nothere
s gunzip
mv numbers.gz n2.gz; gunzip n2.gz; cmp numbers n2; echo junk >j.gz; status gunzip j.gz; rm -f j.gz n2
s zcat
gzip -c five >z.gz; zcat z.gz; zcat <z.gz | wc; head -c 20 z.gz >zt.gz; status zcat zt.gz; rm z*.gz
s bzip2
bzip2 -k numbers; stat -c %s numbers.bz2; md5sum <numbers.bz2
s bunzip2
mv numbers.bz2 b.bz2; bunzip2 -k b.bz2; cmp b numbers; rm b
s bzcat
bzcat b.bz2 | md5sum; rm b.bz2
part data
echo /Td6WFoAAAFpIt42AgAhARYAAAB0L+WjAQANb25lCnR3bwp0aHJlZQoAAAC21eYlAAEiDgzejGCQQpkNAQAAAAABWVo= | base64 -d >x.xz
echo XQAABAD//////////wA3m4jM9sZgM8VHkfmljF5LNJr//X9wAA== | base64 -d >l.lzma
echo H52QYcSMCagA | base64 -d >c.Z
echo UEsDBBQAAAAIAIMYIloila9GEwAAACoAAAAIAAAAZGlyL2ZpbGXLz0vlKinP5yrJKEpN5crHwwMAUEsBAhQDFAAAAAgAgxgiWiKVr0YTAAAAKgAAAAgAAAAAAAAAAAAAAKCBAAAAAGRpci9maWxlUEsFBgAAAAABAAEANgAAADkAAAAAAA== | base64 -d >z.zip
s xzcat
xzcat x.xz
s xz
xz -d -k -c x.xz; xz -t x.xz; echo $?
s unxz
cp x.xz y.xz; unxz y.xz; cat y; rm y
s lzcat
lzcat l.lzma
s lzma
lzma -d -k -c l.lzma
s unlzma
unlzma l.lzma; cat l
s uncompress
uncompress c.Z; cat c; rm c
s unzip
unzip -l z.zip; unzip z.zip; ls -l dir; unzip -p z.zip dir/file | wc; status unzip -n z.zip; rm -r dir
s lzop
lzop -c five | lzop -dc | cmp - five; lzop -c five | wc -c
s tar
find tree five | sort >names; tar cf t.tar --no-recursion -T names; tar tvf t.tar; mkdir tx; tar xf t.tar -C tx; find tx -type f | sort >in; xargs ls -l <in; diff -r tree tx/tree; tar czf t.tgz tree; tar tzf t.tgz | sort; tar xOf t.tar five; tar cf - tree | tar tf - | wc -l; tar cjf t.tbz tree; tar tjf t.tbz | wc -l; tar cf x.tar --exclude c tree; tar tf x.tar | sort; ln -s five sy; mkfifo pp; tar cf s.tar sy pp; tar tvf s.tar | cut -c1-22,51-; rm sy pp; tar xf s.tar; ls -l sy pp | cut -c1-10; status tar xf nothere; status tar tf five; rm -r tx sy pp *.tar *.tgz *.tbz
s cpio
find tree | sort | cpio -o -H newc >c.cpio; cpio -t <c.cpio; mkdir cx; cd cx; cpio -id <../c.cpio; find . | sort; cpio -idum 'tree/c*' <../c.cpio; ls -l tree/c; cd ..; rm -r cx c.cpio
s ar
printf '!<arch>\n%-16s%-12s%-6s%-6s%-8s%-10s`\n%s' five/ 1735689600 0 0 100644 4 'abc
' >a.a; ar t a.a; ar p a.a; ar tv a.a; mkdir ax; cd ax; ar x ../a.a; ls -l; cd ..; rm -r ax
s dpkg-deb
mkdir -p deb/usr/share; echo data >deb/usr/share/data; (cd deb; touch -d @1735689600 usr/share/data usr/share usr .; tar czf ../data.tar.gz .); printf 'Package: x\nVersion: 1\nArchitecture: all\n' >control; tar czf control.tar.gz ./control
{ printf '!<arch>\n'; for f in debian-binary control.tar.gz data.tar.gz; do case $f in debian-binary) echo 2.0 >$f ;; esac; n=$(stat -c %s $f); printf '%-16s%-12s%-6s%-6s%-8s%-10s`\n' $f 1735689600 0 0 100644 $n; cat $f; [ $((n % 2)) = 0 ] || echo; done; } >x.deb
dpkg-deb -c x.deb; dpkg-deb -f x.deb; dpkg-deb -x x.deb dx; find dx | sort; rm -r deb dx control* data* debian-binary
s dpkg
status dpkg -l nosuch; rm x.deb

s mkdosfs
dd if=/dev/zero of=fs bs=1k count=512 2>/dev/null; mkdosfs -n LABEL fs; od -An -c -N 11 -j 43 fs
s mke2fs
dd if=/dev/zero of=fs bs=1k count=1024 2>/dev/null; mke2fs -F fs | head -n 8; od -An -tx2 -j 1080 -N 2 fs
s mkswap
mkswap -L sw fs | sed 's/UUID=.*/UUID=~/'; od -An -c -j 4086 -N 10 fs
s fdisk
printf 'o\nn\np\n1\n\n500\na\n1\nw\n' | fdisk -H 4 -S 16 -C 32 fs | tail -n 5; fdisk -H 4 -S 16 -C 32 -l fs; od -An -tx1 -j 446 -N 16 fs
s blkdiscard
status blkdiscard fs; rm fs

s uname
uname -s -n -m; uname -a; uname -o
s arch
arch
s hostname
hostname; hostname control; hostname; cat /proc/sys/kernel/hostname; hostname sis; su nobody -s /bin/sh -c 'hostname x'; echo $?; status hostname $(printf %080d 1)
s dnsdomainname
status dnsdomainname
s hostid
hostid
s linux32
linux32 uname -m; linux32 linux64 uname -m; linux32 sh -c 'cat /proc/self/personality'
s linux64
linux64 uname -m
s nproc
nproc; nproc --all; taskset 1 nproc
s taskset
taskset 1 sh -c 'taskset -p $$' | sed 's/pid [0-9]*/pid ~/'; status taskset 0 true; taskset -c 0 grep Cpus_allowed_list /proc/self/status; status taskset -p 99999
s id
id; id -u; id -Gn; id nobody; su nobody -s /bin/sh -c id; status id nosuchuser
s groups
groups; groups nobody
s whoami
whoami; su nobody -s /bin/sh -c whoami
s logname
status logname
s who
who; echo $?
s w
w | tail -n +2
s last
: >/var/log/wtmp; last; echo $?
s tty
tty; status tty </dev/null; tty <five
s stty
stty -a; stty size; stty -g; status stty </dev/null; stty rows 30 cols 90; stty size; stty -echo; stty -a | grep -o -- '-*echo '; stty echo; stty intr ^A; stty -a | grep intr; stty sane; stty 9600; stty speed; stty 115200; stty speed; stty min 3 time 5 -icanon; stty -a | grep -o 'min.*'; stty sane; stty rows 25 cols 200
s su
su nobody -s /bin/sh -c 'echo $USER $HOME; id -u; cat /proc/self/status | grep -E "^(Uid|Gid|Groups)"; cat /tmp/w/five'; su -s /bin/sh nobody -c 'echo x >/tmp/w/y; ls /root; kill -9 1; mkdir /proc/q; renice -n -5 $$ 2>&1 | sed "s/[0-9][0-9]*/~/"; chroot /; mount -t tmpfs x /mnt; touch /tmp/su; stat -c %U /tmp/su; rm /tmp/su; cat </dev/mem; echo >/proc/sys/kernel/hostname'; echo $?
s passwd
status passwd -l nobody </dev/null; grep nobody /etc/passwd; passwd -u nobody; grep nobody /etc/passwd
s mkpasswd
mkpasswd -m sha512 -S saltsalt word; mkpasswd -m md5 -S saltsalt word; mkpasswd -m des -S sa word
s crontab
mkdir -p /var/spool/cron/crontabs; echo '0 1 * * * true' >ct; crontab ct; crontab -l; crontab -r; status crontab -l
s getopt
getopt -o ab: -l long:,other -- -a -b x --long=y rest; status getopt -o a -- -z

s sleep
sleep 0.05; echo $?; sleep 0; status sleep x
s usleep
usleep 1000; echo $?
s time
time -f '%x %C' sh -c 'exit 3'; time -f '%e %U %S %P %M %R' true 2>&1 | sed 's/[0-9.?][0-9.]*/~/g'
s timeout
status timeout 1 true; status timeout 0.1 sleep 10; status timeout -s KILL 0.1 sleep 10; status timeout 5 sh -c 'exit 9'; timeout -k 0.1 0.1 sh -c 'trap "" TERM; sleep 3 & wait; wait'; echo $?
s renice
sleep 100 & p=$!; renice -n 7 -p $p; cut -d' ' -f19 /proc/$p/stat; renice -n -4 $p; cut -d' ' -f18,19 /proc/$p/stat; kill $p; wait $p; echo $?; status renice 1 -p 99999 | tail -n 1
s ionice
ionice; ionice -c 3 true; echo $?; ionice -c 2 -n 6 ionice
s setsid
setsid sh -c 'cut -d" " -f5,6 /proc/self/stat | (read a b; [ $a = $b ] && echo leads); tty; cut -d" " -f7 /proc/self/stat' </dev/null; setsid sh -c 'exec 2>&1; echo </dev/tty'
s cttyhack
setsid cttyhack sh -c 'tty; cut -d" " -f7,8 /proc/self/stat | (read a b; [ $a -gt 0 ] && [ $b -gt 0 ] && echo has a terminal)'
s start-stop-daemon
start-stop-daemon -S -b -m -p /tmp/w/pid -x /bin/sleep -- 50; cat pid | xargs -I@ cat /proc/@/comm; start-stop-daemon -K -t -p /tmp/w/pid >/dev/null; echo $?; start-stop-daemon -K -p /tmp/w/pid | sed 's/[0-9][0-9]*/~/'; rm pid; start-stop-daemon -K -x /bin/nosuch; echo $?
s pidof
sleep 77 & p=$!; until [ "$(pidof sleep)" = $p ]; do :; done; pidof init nosuch; status pidof nosuch; kill $p; wait $p; echo $?
s kill
busybox kill -l | head -n 5; busybox kill -l 9 HUP; sleep 100 & busybox kill -STOP $!; while ! grep -q 'State:.T (stopped)' /proc/$!/status; do :; done; grep State /proc/$!/status; busybox kill -CONT $!; busybox kill -INT $!; busybox kill -TERM $!; wait $!; echo $?; status busybox kill -0 99999; status busybox kill -99 1; busybox kill -0 1; echo $?; sleep 100 & busybox kill -USR1 $!; wait $!; echo $?; sleep 100 & busybox kill -KILL $!; wait $!; echo $?; sleep 100 & busybox kill -SEGV $!; wait $!; echo $?; sh -c 'trap "echo got it" USR2; busybox kill -USR2 $$; echo after'; busybox kill -URG $$; echo unharmed
s killall
sleepers 0; sleep 88 & sleep 88 & sleepers 2; killall -q sleep; wait; status killall nosuch; sleep 88 & sleepers 1; killall -9 sleep; wait $!; echo $?
s ps
ps | sed -n 1p; ps -o comm | grep -c '^ps$'; ps -o pid,ppid,user,comm | grep ' init$'; ps -o stat,args | grep '[p]s -o stat'; ps -o vsz,rss,nice,tty,pgid,sid,comm | sed -n 1p; sleepers 0; sleep 66 & sleepers 1; ps -o user,group,tty,nice,args | grep '[s]leep 66'; ps -T | grep -c '[s]leep 66'; kill $!; wait $!; ps -o ppid,pid,comm | grep -c '\[\|kthread' | sed 's/[0-9][0-9]*/some/'
s top
top -b -n 1 | sed -n '/PID/p'; top -b -n 1 | grep -c '^Mem:'; top -b -n 1 | grep -c 'top -b -n 1'
s free
free | sed 's/[0-9][0-9]*/~/g' | tr -s ' '; free -m | wc -l
s uptime
uptime | sed 's/[0-9.:]*[0-9]/~/g; s/up.*, ~ users/up ~, ~ users/' | tr -s ' '
s watch
seen=$(timeout 0.5 watch -n 20 'echo watched' | cat -v | sed 's/ *20..-.*//' | tail -n 1); echo "$seen"
s sysctl
sysctl kernel.hostname kernel.ostype kernel.pid_max vm.overcommit_memory fs.pipe-max-size kernel.random.poolsize; sysctl -w kernel.hostname=viasysctl; hostname; sysctl -n -w kernel.hostname=sis; status sysctl no.such
s dmesg
dmesg | head -n 0; dmesg -n 1; echo $?; status dmesg -c >/dev/null; dmesg | wc -l
s chroot
mkdir -p cr/bin; cp /bin/busybox cr/bin; ln -s busybox cr/bin/sh; ln -s busybox cr/bin/ls; echo inside >cr/file; chroot cr /bin/sh -c 'pwd; read x </file; echo $x; ls /; cd ..; pwd; ls -d ../../..'; status chroot cr /bin/nosuch; status chroot nothere; chroot cr /bin/sh -c 'exit 4'; echo $?; su nobody -s /bin/sh -c 'chroot /tmp'; echo $?; rm -r cr
s unshare
unshare -u sh -c 'hostname other; hostname'; hostname; unshare -m sh -c 'mkdir mm; mount -t tmpfs xyz mm; grep -c xyz /proc/mounts'; grep -c xyz /proc/mounts
s nsenter
nsenter -t $$ -u hostname
s setpriv
setpriv --nnp grep NoNewPrivs /proc/self/status; setpriv -d | head -n 6
s losetup
status losetup -f | sed 's/loop[0-9]*/loop~/'
s lsmod
lsmod | head -n 1
s more
more five </dev/null | cat
s less
less five | head -n 2
s clear
clear | od -c
s reset
reset >/dev/null; echo $?
s logger
status logger hello
s ts
echo x | ts '%Y' | sed 's/^20[0-9]*/~/'; echo y | ts -s | sed 's/[0-9]/0/g'
s nologin
status timeout 1 nologin </dev/null | head -n 1
s mim
printf 'case $1 in b) echo made b $2 ;; esac\n' >Mimfile; sh -c 'mim b c'
s svok
status svok /tmp/w/tree; mkdir -p svc/supervise; mkfifo svc/supervise/ok; status svok svc
s rpm2cpio
status rpm2cpio five | head -n 1
s depmod
depmod -n -b /tmp/w 0.0 | head -n 1; echo $?
s modinfo
status modinfo nosuch | head -n 1
s findfs
status findfs LABEL=nosuch
s mt
status mt -f five rewind
s swapon
status swapon five
s swapoff
status swapoff five
s pivot_root
status pivot_root tree tree/a | sed 's/(null)/tree/'
s freeramdisk
status freeramdisk five
s fsfreeze
status fsfreeze --freeze five
s fatattr
status fatattr five
s partprobe
status partprobe five
s blockdev
status blockdev --getsize64 five
s adjtimex
adjtimex | sed 's/: *[-0-9][0-9]*/: ~/' | cut -c1-40
s crond
mkdir -p cron; timeout 0.2 crond -f -c /tmp/w/cron -L /tmp/w/cronlog; echo $?; sed 's/.*crond/crond/' cronlog; rm -r cron
s microcom
status timeout 1 microcom -t 100 /tmp/w/five
s getty
status getty -h 2>&1 | head -n 1
s ash
ash -c 'echo $0 $#; set -- a b c; shift; echo $1 $#; f() { local x=2; return $x; }; f; echo $?; echo ${x-unset} $((7/2)) ${PATH%%:*}; case abc in a*) echo star;; esac; read a b <<X
one two three
X
echo $b; trap "echo bye" EXIT; exec 3>fd3; echo to3 >&3; exec 3>&-; cat fd3; echo bad >&7; echo $(ulimit -n) $(umask); (exit 5) || echo $?; wait; : | cat; echo a | (read v; echo got $v); type ls >/dev/null && echo typed; getopts ab: o -b x; echo $o $OPTARG; printf "%s\n" *ive; cd /; cd -; exit 3'; echo $?
s sh
sh -c 'echo $PPID >/dev/null; echo in a shell; kill -KILL $$'; echo $?; echo 'echo from stdin' | sh; printf '#!/bin/sh -e\necho script $1; false; echo no\n' >scr; chmod +x scr; ./scr x; echo $?; printf 'echo no magic\n' >scr2; chmod +x scr2; ./scr2; printf '#!/nosuch\n' >scr3; chmod +x scr3; ./scr3; echo $?; chmod -x scr; ./scr; echo $?; sh -c 'ulimit -a'; sh -c 'ulimit -f 1; dd if=/dev/zero of=lim bs=4096 count=1 2>/dev/null'; echo $?; stat -c %s lim; sh -c 'ulimit -n 4; exec 3<five 4<five'; echo $?; sh -c 'ulimit -v 100; exec ls' >/dev/null; echo $?; sh -c 'a=$$; (b=$(exec sh -c "echo \$PPID"); [ $a != $b ] && echo forked)'; yes | head -n 1; sh -c 'trap "" PIPE; busybox yes 2>&1 >&3 | head -n 1' 3>/dev/full
s busybox
busybox | head -n 2; status busybox nosuchapplet; busybox --list | wc -l
part proc
grep -E 'tmpfs|proc$|devpts' /proc/filesystems | sort; cat /proc/sys/kernel/ostype; cat /proc/self/comm; tr '\0' ' ' </proc/self/cmdline; echo; cat /proc/self/oom_score_adj; cat /proc/self/limits; ls /proc/self/fd | wc -l; cat /proc/self/fdinfo/0; ls /proc/self/task | wc -l; grep -E '^(Name|Umask|State|Tgid|NSpid|Threads|Sig|Shd|Cap|Seccomp|NoNew)' /proc/self/status; ls -1 /proc/self; cat /proc/self/wchan; echo; tr '\0' '\n' </proc/self/environ | sort | grep -v '^_\|OLDPWD\|SHLVL'; cat /proc/self/mountinfo | grep /tmp/w | cut -d' ' -f4-; cat /proc/self/mounts | grep /tmp/w; cat /proc/swaps; cut -d' ' -f4 /proc/loadavg | sed 's/[0-9][0-9]*/~/g'; grep -E '^(ctxt|btime|processes|procs_)' /proc/stat | sed 's/ .*//'; ls /proc | grep -v '^[0-9]'
