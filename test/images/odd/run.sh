#!/bin/sh
# Every odd thing is as it should be, or there is no page to serve.
fail() {
  echo "wrong: $*"
  exit 1
}
is() { # FILE CONTENT
  [ "$(cat "$1")" = "$2" ] || fail "$1"
}
mode() { # FILE MODE OWNER:GROUP
  [ "$(stat -c '%a %u:%g' "$1")" = "$2 $3" ] || fail "$1 $(stat -c '%a %u:%g' "$1")"
}

is hard/b shared
is hard/d shared
[ "$(stat -c %i hard/b)" = "$(stat -c %i hard/c)" ] || fail 'hard links are copies'
[ "$(stat -c %i hard/a)" = "$(stat -c %i hard/d)" ] || fail 'hard links are copies'
[ "$(stat -c %s sparse)" = 8388611 ] || fail sparse
grep -q middle sparse || fail 'sparse content'
is links/first end
is links/absolute end
is links/up end
[ "$(readlink links/dangling)" = nowhere ] || fail dangling
is links/to-dir/a shared
is was-file/inside inside
is was-dir 'a file now'
is was-link/inside inside
is recreated new
is opaque/new new
[ ! -e opaque/old ] && [ ! -e opaque/old-dir ] && [ ! -e gone ] || fail 'whiteout'
if [ "$ENGINE_REFUSES" = 1 ]; then
  is twice second
  is rewritten after
  is link-to-old before
  is links/hard end
  [ "$(stat -c %i links/hard)" = "$(stat -c %i links/target)" ] || fail 'the link to a lower layer is a copy'
fi
mode mode-only 640 0:0
mode modes/setuid 4755 0:0
mode modes/setgid 2775 0:0
mode owners/empty 750 12345:54321
mode owners/huge 755 3000000:3000000
mode /tmp 1777 0:0
mode . 711 0:0
[ -c special/null ] && [ -b special/loop ] && [ -p special/fifo ] || fail special
for name in names/latin*; do is "$name" latin; done
is 'names/a "b" \ c' space
for name in names/nnn*; do is "$name" 255; done
is "$(echo directory-with-a-long-name-01/*/*/*/*/*/*/*/*/*)/file" deep
[ -e empty ] && [ ! -s empty ] || fail empty

echo 'Everything odd is in its place' >/www/index.html
exec httpd -f -p 8080 -h /www
