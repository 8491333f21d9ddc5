//! Words, options and numbers: examples of each rule, then random text that nothing may be lost from.

use super::*;
use crate::testing::Random;

/// Random text of the characters that mean something here.
pub(super) fn random_text(random: &mut Random) -> String {
    const PIECES: [&str; 18] = [
        " ", " ", "\"", "=", "a", "root", "ro", "video", "9x9", "--", "-", ".", "\\", ".efi", "\t", "\r\n",
        "€", "😀",
    ];
    (0..random.index(20)).map(|_| random.pick(&PIECES)).collect()
}

#[test]
fn words_and_params() {
    let param = |key, value| Param { key, value };
    for (text, expected) in [
        ("", &[][..]),
        (" \t ", &[]),
        ("a", &[param("a", None)]),
        ("a=b c=", &[param("a", Some("b")), param("c", Some(""))]),
        ("root=UUID=12-34", &[param("root", Some("UUID=12-34"))]),
        ("a=\"b c\" d", &[param("a", Some("b c")), param("d", None)]),
        ("\"a b=c d\" e", &[param("a b", Some("c d")), param("e", None)]),
        ("\"a b\"", &[param("a b", None)]),
        ("a=\"b c", &[param("a", Some("b c"))]),
        ("a=x\"b c\"", &[param("a", Some("x\"b c\""))]),
        ("\"\" \"", &[param("", None), param("", None)]),
        ("=a ==b", &[param("=a", None), param("=", Some("b"))]),
        ("a -- b=c", &[param("a", None)]),
        ("a\r\nb", &[param("a", None), param("b", None)]),
        ("ä=ö", &[param("ä", Some("ö"))]),
    ] {
        let found: Vec<_> = CommandLine::new(text).params().collect();
        assert_eq!(found, expected, "{text:?}");
    }
}

#[test]
fn the_getters() {
    let line = CommandLine::new(
        "root=/dev/vda rw console=tty0 monitor console=ttyS0,115200 ro panic=halt panic=exit \
         video=1024x768 hz=0x64 selftest=mm init= -- strace root=/dev/vdb",
    );
    assert_eq!(line.root(), Some("/dev/vda"));
    assert!(line.flag("monitor") && line.flag("selftest") && !line.flag("strace"));
    assert_eq!(line.last("panic"), Some("exit"));
    assert_eq!(line.last("init"), Some(""));
    assert_eq!(line.last("monitor"), None);
    assert_eq!(line.all("console").collect::<Vec<_>>(), ["tty0", "ttyS0,115200"]);
    assert_eq!((line.initrd(), line.root_is_writable()), (None, false));
    assert_eq!(line.video(), Ok(Some((1024, 768))));
    assert_eq!((line.number("hz"), line.number("maxcpus")), (Ok(Some(100)), Ok(None)));
    assert!(CommandLine::new("ro rw").root_is_writable());
    assert!(!CommandLine::new("").root_is_writable());
    assert_eq!(CommandLine::new("root= initrd=").root(), None);
}

#[test]
fn bad_values_are_named() {
    for value in ["", "x", "1024", "1024x", "x768", "0x768", "1024x0", "-1x1", "4294967296x1"] {
        let text = format!("video={value}");
        let error = CommandLine::new(&text).video().unwrap_err();
        assert_eq!((error.key, error.value), ("video", value));
    }
    assert_eq!(CommandLine::new("video=800X600").video(), Ok(Some((800, 600))));
    let line = CommandLine::new("hz=fast");
    let text = line.number("hz").unwrap_err().to_string();
    assert_eq!(text, "hz=\"fast\" ignored: a decimal or 0x number wanted");
}

#[test]
fn the_unknown_goes_to_init() {
    let line = CommandLine::new(
        "root=/dev/vda single TERM=vt100 monitor usb.debug=1 a.b X=\"1 2\" v=1.5 -- -c root=x a.b --",
    );
    let argument = |key, value| Unknown::Argument(Param { key, value });
    let found: Vec<_> = line.unknown().collect();
    assert_eq!(
        found,
        [
            argument("single", None),
            Unknown::Environment { key: "TERM", value: "vt100" },
            Unknown::Environment { key: "X", value: "1 2" },
            Unknown::Environment { key: "v", value: "1.5" },
            argument("-c", None),
            argument("root", Some("x")),
            argument("a.b", None),
            argument("--", None),
        ]
    );
}

#[test]
fn the_table_of_options() {
    for (i, option) in KNOWN_OPTIONS.iter().enumerate() {
        assert!(KNOWN_OPTIONS[..i].iter().all(|other| other.name != option.name), "{option}");
        assert!(!option.help.is_empty() && option.help.len() < 60, "{option}");
        assert!(option.name.bytes().all(|b| b.is_ascii_alphanumeric()), "{option}");
        let line = CommandLine::new(option.name);
        assert!(line.flag(option.name) && line.unknown().next().is_none());
    }
    let shown = |name| find(name).map(|option| format!("{option:20}|")).unwrap();
    assert_eq!(shown("ro"), "ro                  |");
    assert_eq!(shown("video"), "video=WxH           |");
    assert_eq!(shown("selftest"), "selftest[=NAME,...] |");
}

#[test]
fn numbers() {
    for (text, expected) in [
        ("0", Ok(0)),
        ("007", Ok(7)),
        ("18446744073709551615", Ok(u64::MAX)),
        ("18446744073709551616", Err(NumberError::Overflow)),
        ("0xFFFFFFFFffffffff", Ok(u64::MAX)),
        ("0X10", Ok(16)),
        ("0x1_0", Err(NumberError::Digit)),
        ("0x10000000000000000", Err(NumberError::Overflow)),
        ("", Err(NumberError::Empty)),
        ("0x", Err(NumberError::Empty)),
        ("+1", Err(NumberError::Digit)),
        ("-1", Err(NumberError::Digit)),
        ("0x+1", Err(NumberError::Digit)),
        ("99999999999999999999x", Err(NumberError::Digit)),
        ("١", Err(NumberError::Digit)),
    ] {
        assert_eq!(parse_u64(text), expected, "{text:?}");
    }
}

fn is_piece_of(piece: &str, text: &str) -> bool {
    let (inner, outer) = (piece.as_bytes().as_ptr_range(), text.as_bytes().as_ptr_range());
    outer.start <= inner.start && inner.end <= outer.end
}

#[test]
fn random_text_is_split_without_loss() {
    let mut random = Random::new(6);
    for _ in 0..60_000 {
        let text = random_text(&mut random);
        let line = CommandLine::new(&text);
        let mut kept = String::new();
        for word in line.words() {
            assert!(is_piece_of(word, &text) && !word.is_empty());
            let Param { key, value } = Param::parse(word);
            assert!(is_piece_of(key, word) && value.is_none_or(|value| is_piece_of(value, word)));
            kept.push_str(word);
        }
        // Only blanks are lost between the words.
        let dense = |s: &str| s.split_ascii_whitespace().collect::<String>();
        assert_eq!(dense(&kept), dense(&text));
        let known = line.params().filter(|p| find(p.key).is_some()).count();
        let dotted = |p: &Param<'_>| find(p.key).is_none() && p.key.contains('.');
        let marker = usize::from(line.words().any(|word| word == "--"));
        let passed = line.params().filter(dotted).count();
        assert_eq!(known + passed + marker + line.unknown().count(), line.words().count());
        assert_eq!(line.root(), line.last("root").filter(|v| !v.is_empty()));
        assert!(line.video() != Ok(Some((0, 0))));
    }
}
