"""Names that archives must not trust, and the time of all members."""

ABSOLUTE = (b"/x.jpg", b"//x.jpg", b"///tmp/x.jpg", b"/")
UPWARDS = (
    b"../x.jpg",
    b"a/../../x.jpg",
    b"a/..",
    b"..",
    b"./../x.jpg",
    b"a/b/../../../x.jpg",
    b"..\\x.jpg",
)
WINDOWS = (
    b"C:\\x.jpg",
    b"C:/x.jpg",
    b"\\\\host\\x.jpg",
    b"CON.jpg",
    b"x.jpg.",
    b"x.jpg ",
    b"x.jpg:stream",
    b"a|b?.jpg",
)
NOT_UTF8 = (
    b"caf\xe9.jpg",
    b"\xff\xfe.jpg",
    b"\xed\xa0\x80.jpg",
    b"\xc0\xaf..\xc0\xaf.jpg",
    b"\x93\xfa\x96{.jpg",
)
ODD = (
    b"new\nline.jpg",
    b"tab\tand\rreturn.jpg",
    b"bell\x07.jpg",
    b"\x1b[31mred\x1b[0m.jpg",
    b"<img src=x onerror=alert(1)>.jpg",
    b"</script><script>alert(1)</script>.jpg",
    b"{{ 7*7 }}.jpg",
    b"'; DROP TABLE images; --.jpg",
    b'"quoted".jpg',
    b"=1+1.jpg",
    b"$(touch x).jpg",
    b"%s%n.jpg",
    "\u202egpj.right-to-left.jpg".encode(),
    "e\u0301 and \u00e9.jpg".encode(),
    "\U0001f408.jpg".encode(),
    b"-rf.jpg",
    b" .jpg",
)
HARDLY_ANY = (
    b".jpg",
    b".",
    b"./",
    b"..jpg",
    b"a/.jpg",
    b"a//b.jpg",
    b"./x.jpg",
    b"a/./x.jpg",
    b"x.jpg/",
)
LONG = b"x" * 300 + b".jpg"
DEEP = b"d/" * 2000 + b"x.jpg"

OLD = 1_000_000_000  # seconds since 1970, the time of all members
