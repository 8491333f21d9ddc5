//! Files and load options as editors, boot managers and accidents make them, then random bytes.

use super::super::tests::random_text;
use super::*;
use crate::testing::Random;

fn decoded(raw: &[u8]) -> (String, Option<Warning>) {
    let mut out = [0xAAu8; MAX_LEN];
    let Decoded { text, warning } = decode(raw, &mut out);
    (text.to_string(), warning)
}

fn utf16_bytes(text: &str, unit: fn(u16) -> [u8; 2]) -> Vec<u8> {
    text.encode_utf16().flat_map(unit).collect()
}

fn options(raw: &[u8]) -> Option<String> {
    let mut out = [0xAAu8; MAX_LEN];
    load_options(raw, &mut out).map(|decoded| decoded.text.to_string())
}

fn options_text(text: &str) -> Option<String> {
    options(&utf16_bytes(text, u16::to_le_bytes))
}

#[test]
fn a_plain_file() {
    for (raw, text) in [
        ("", ""),
        ("monitor", "monitor"),
        ("root=/dev/vda rw\n", "root=/dev/vda rw"),
        ("\t a  b \t\r\n", "a  b"),
        ("a\r\n\r\n \n", "a"),
        ("\u{FEFF}a=ü b", "a=ü b"),
        (" \n", ""),
    ] {
        assert_eq!(decoded(raw.as_bytes()), (text.into(), None), "{raw:?}");
    }
}

#[test]
fn only_the_first_line_counts() {
    for (raw, text) in [("a b \nc", "a b"), ("a\rb\n", "a"), ("\na", ""), ("a\r\n\r\n c\r\n", "a")] {
        assert_eq!(decoded(raw.as_bytes()), (text.into(), Some(Warning::MoreLines)), "{raw:?}");
    }
}

#[test]
fn utf16_files_are_read_with_a_warning() {
    let text = "root=/dev/vda name=ü€😀 \r\n";
    for unit in [u16::to_le_bytes, u16::to_be_bytes] {
        let mut raw = utf16_bytes("\u{FEFF}", unit);
        raw.extend(utf16_bytes(text, unit));
        assert_eq!(decoded(&raw), (text.trim().into(), Some(Warning::Utf16)));
        raw.extend(utf16_bytes("more", unit));
        assert_eq!(decoded(&raw), (text.trim().into(), Some(Warning::MoreLines)));
        raw.push(0);
        let offset = raw.len() - 1;
        assert_eq!(decoded(&raw), (String::new(), Some(Warning::Binary { offset })));
    }
    assert_eq!(decoded(&[0xFF, 0xFE]), (String::new(), Some(Warning::Utf16)));
}

#[test]
fn binary_files_are_ignored() {
    let unmarked = utf16_bytes("monitor", u16::to_le_bytes);
    for (raw, offset) in [
        (&b"a\0b"[..], 1),
        (b"monitor\n\x7fELF", 8),
        (b"ab\xC3", 2),
        (b"ab\xED\xA0\x80", 2),
        (b"\xEF\xBB\xBFab\x80", 5),
        ("abc \u{85}".as_bytes(), 4),
        (&unmarked, 1),
        (b"\xFF\xFEa\0\0\0", 4),
        (b"\xFF\xFEa\0\x00\xDCb\0", 4),
        (b"\xFE\xFF\0a\xD8\x00\0b", 4),
    ] {
        assert_eq!(decoded(raw), (String::new(), Some(Warning::Binary { offset })), "{raw:x?}");
    }
}

#[test]
fn long_lines_are_cut_between_words() {
    let limit = MAX_LEN;
    let long = Some(Warning::TooLong { limit });
    let word = "x".repeat(MAX_LEN);
    assert_eq!(decoded(word.as_bytes()), (word.clone(), None));
    assert_eq!(decoded(format!("{word}  \n").as_bytes()), (word.clone(), None));
    assert_eq!(decoded(format!("{word} y").as_bytes()), (word.clone(), long));
    assert_eq!(decoded(format!("{word}x").as_bytes()), (String::new(), long));
    assert_eq!(decoded(format!("ab {word}").as_bytes()), ("ab".into(), long));
    // Not inside of quotes, and not within a character.
    assert_eq!(decoded(format!("ab c=\"d {word}\" e").as_bytes()), ("ab".into(), long));
    let wide = "€".repeat(MAX_LEN / 3 + 1);
    assert_eq!(decoded(format!("ab {wide}").as_bytes()), ("ab".into(), long));
    let many = "abcdefg ".repeat(8192);
    assert_eq!(decoded(many.as_bytes()), (many[..MAX_LEN - 1].into(), long));
    // The caller's buffer may set a tighter limit.
    let long = |limit| Some(Warning::TooLong { limit });
    assert_eq!(decode(b"ab cd", &mut [0; 4]), Decoded { text: "ab", warning: long(4) });
    assert_eq!(decode(b"ab", &mut []), Decoded { text: "", warning: long(0) });
}

#[test]
fn a_read_may_stop_within_a_character() {
    let mut raw = b"monitor\n".to_vec();
    raw.resize(MAX_LEN, b' ');
    raw.push(0xE2);
    assert_eq!(decoded(&raw), ("monitor".into(), None));
    raw.push(b' ');
    let offset = MAX_LEN;
    assert_eq!(decoded(&raw), (String::new(), Some(Warning::Binary { offset })));

    let mut raw = vec![0xFF, 0xFE];
    raw.extend(utf16_bytes(&format!("ab{}", " ".repeat(MAX_LEN)), u16::to_le_bytes));
    for cut in [&[][..], b"a", &[0x3D, 0xD8], &[0x3D, 0xD8, 0]] {
        let raw = [&raw, cut].concat();
        assert_eq!(decoded(&raw), ("ab".into(), Some(Warning::Utf16)), "{cut:x?}");
    }
    raw.extend([0x00, 0xDC]);
    assert!(matches!(decoded(&raw).1, Some(Warning::Binary { .. })));
}

#[test]
fn load_options_lose_the_image_name() {
    for (raw, text) in [
        ("monitor", Some("monitor")),
        ("BOOTX64.EFI monitor", Some("monitor")),
        ("FS0:\\EFI\\BOOT\\BOOTX64.efi  monitor x ", Some("monitor x")),
        ("\"FS0:\\My Files\\sis.efi\" monitor", Some("monitor")),
        ("FS0:\\sis monitor", Some("monitor")),
        ("loader.efi", None),
        ("fs0:\\", None),
        ("  ", None),
        ("", None),
        ("initrd=\\initrd.img root=/dev/vda", Some("initrd=\\initrd.img root=/dev/vda")),
        ("init=/x.efi", Some("init=/x.efi")),
        ("x=\\y.efi a", Some("a")),
        ("root=LABEL=Büro", Some("root=LABEL=Büro")),
        ("日本語.efi monitor", Some("monitor")),
        ("monitor\0\u{1}\u{2}", Some("monitor")),
        ("monitor\r\nmore", Some("monitor")),
        ("\u{FEFF}monitor\0", Some("monitor")),
    ] {
        assert_eq!(options_text(raw).as_deref(), text, "{raw:?}");
    }
}

#[test]
fn load_options_that_are_no_text() {
    // What OVMF adds to the boot options it makes: gBmAutoCreateBootOptionGuid, 8108AC4E-9F11-...
    let guid =
        [0x4E, 0xAC, 0x08, 0x81, 0x11, 0x9F, 0x59, 0x4D, 0x85, 0x0E, 0xE2, 0x1A, 0x52, 0x2C, 0x59, 0xB2];
    assert!(char::decode_utf16(guid.chunks(2).map(|c| u16::from_le_bytes([c[0], c[1]]))).all(|c| c.is_ok()));
    assert_eq!(options(&guid), None);
    for raw in [
        &b"monitor"[..],
        b"WINDOWS\0",
        b"\0",
        b"\x01\0\0\0a\0",
        b"a\0\x07\0b\0",
        b"a\0b\0\x00\xD8",
        b"a\0\x00\xDCb\0",
    ] {
        assert_eq!(options(raw), None, "{raw:x?}");
    }
}

#[test]
fn random_guids_are_not_taken_for_text() {
    let mut random = Random::new(5);
    for _ in 0..20_000 {
        let mut guid = [0u8; 16];
        guid[..8].copy_from_slice(&random.next_u64().to_le_bytes());
        guid[8..].copy_from_slice(&random.next_u64().to_le_bytes());
        // Version 4, variant 1, as RFC 9562 has them.
        guid[7] = guid[7] & 0x0F | 0x40;
        guid[8] = guid[8] & 0x3F | 0x80;
        assert_eq!(options(&guid), None, "{guid:x?}");
    }
}

#[test]
fn warnings_are_words_and_ordered() {
    let all =
        [Warning::Utf16, Warning::MoreLines, Warning::TooLong { limit: 1 }, Warning::Binary { offset: 0 }];
    assert!(all.windows(2).all(|w| w[0] < w[1]));
    assert_eq!(all[2].to_string(), "longer than 1 bytes; cut at the last blank before that");
}

#[test]
fn random_bytes_are_decoded_or_refused() {
    let mut random = Random::new(7);
    let (mut text_count, mut binary_count) = (0u32, 0u32);
    for _ in 0..60_000 {
        let text = random_text(&mut random);
        let mut raw = match random.index(4) {
            0 => utf16_bytes(&text, u16::to_le_bytes),
            1 => utf16_bytes(&format!("\u{FEFF}{text}"), u16::to_le_bytes),
            2 => utf16_bytes(&format!("\u{FEFF}{text}"), u16::to_be_bytes),
            _ => text.into_bytes(),
        };
        if random.index(2) == 0 && !raw.is_empty() {
            let at = random.index(raw.len());
            raw[at] = random.byte();
        }
        let mut buffer = [0xAAu8; 64];
        let out = &mut buffer[..random.index(65)];
        let limit = out.len();
        let Decoded { text, warning } = decode(&raw, out);
        assert!(text.len() <= limit && !text.contains(|c: char| c.is_control() && c != '\t'));
        assert_eq!(text.trim_matches(is_blank), text);
        match warning {
            Some(Warning::Binary { offset }) => {
                binary_count += 1;
                assert!(text.is_empty() && offset < raw.len());
            }
            Some(Warning::TooLong { limit: told }) => assert_eq!(told, limit),
            _ => text_count += 1,
        }
        // Without a mark, the standard library is the judge.
        let marked = [&[0xFF, 0xFE][..], &[0xFE, 0xFF], &[0xEF, 0xBB, 0xBF]];
        if !marked.iter().any(|mark| raw.starts_with(mark)) {
            let odd = |c: char| c.is_control() && !matches!(c, '\t' | '\r' | '\n');
            let is_text = core::str::from_utf8(&raw).is_ok_and(|s| !s.contains(odd));
            assert_eq!(is_text, !matches!(warning, Some(Warning::Binary { .. })), "{raw:x?}");
        }
        if let Some(options) = load_options(&raw, out) {
            assert!(!options.text.is_empty() && options.text.len() <= limit);
        }
    }
    assert!(text_count > 5_000 && binary_count > 5_000, "{text_count} {binary_count}");
}
