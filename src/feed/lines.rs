//! Lines of a file, plain or compressed, through one buffer of a fixed size.
//!
//! Invariant: memory stays at the buffer's size whatever the file holds, and every line is counted: a line over
//! `MAX_LINE` is named by its number and skipped. A last line without a newline is a line. What was read is checked
//! against the file's state before and after, so that no half-written list is taken for a whole one.
//!
//! It does not know what a line means, and takes bytes that are not UTF-8 as they come.

use std::fs::{File, Metadata};
use std::io::{self, Cursor, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use memchr::{memchr, memchr_iter, memrchr};

use super::{FileError, LineError, Meter, Reading, Skipped};

/// Whether compressed files are recognised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// gzip and zstd are recognised by the first bytes and inflated.
    Detect,
    /// Bytes are taken as they are.
    Off,
}

/// A line's number, the first being 1, and the line without its end, or why it cannot be had.
pub type NumberedLine<'a> = (u64, Result<&'a [u8], LineError>);

/// Whole lines of a file, to be parsed by any thread.
pub(super) struct Block {
    /// How many lines of the file are before it.
    pub(super) before: u64,
    /// The lines; none if the only line is one that is too long.
    pub(super) bytes: Vec<u8>,
    /// Whether nothing follows.
    pub(super) is_last: bool,
}

/// The lines of a file or of bytes in memory, read front to back.
pub struct Lines<'a> {
    source: Box<dyn Read + 'a>,
    path: PathBuf,
    /// The file's state when it was opened; none for bytes in memory and for what has no state, as a pipe.
    opened: Option<Metadata>,
    buffer: Vec<u8>,
    /// Where in the buffer the line that comes next begins.
    begin: usize,
    /// Where what was read ends.
    end: usize,
    number: u64,
    source_ended: bool,
    /// Who is told how far it has come, and the line that was told last.
    meter: Option<(Arc<Meter>, u64)>,
}

impl Lines<'static> {
    /// Opens a file.
    ///
    /// # Errors
    ///
    /// The file is missing, a folder, or not readable.
    pub fn open(path: &Path, compression: Compression) -> Result<Self, FileError> {
        Self::open_metered(path, &Reading { compression, ..Reading::default() })
    }

    /// As [`Self::open`], by a meter of whoever wants to know how far it has come.
    pub(super) fn open_metered(path: &Path, reading: &Reading) -> Result<Self, FileError> {
        let at_path = |source| FileError::Read { path: path.to_owned(), source };
        let file = File::open(path).map_err(at_path)?;
        let opened = file.metadata().map_err(at_path)?;
        if opened.is_dir() {
            return Err(at_path(io::ErrorKind::IsADirectory.into()));
        }
        let file = Metered { file, meter: reading.meter.clone() };
        let source = inflate(file, reading.compression).map_err(at_path)?;
        let lines = Self::new(source, path, Some(opened).filter(Metadata::is_file));
        Ok(Self { meter: reading.meter.clone().map(|meter| (meter, 0)), ..lines })
    }
}

impl Lines<'static> {
    /// The lines of a block of the file at `path`.
    pub(super) fn of_block(block: Block, path: &Path) -> Self {
        let end = block.bytes.len();
        Self {
            buffer: block.bytes,
            end,
            number: block.before,
            source_ended: true,
            ..Self::with_buffer(Box::new(io::empty()), path, None, 0)
        }
    }
}

impl<'a> Lines<'a> {
    /// The lines of bytes in memory; `-` stands for their path in errors.
    ///
    /// # Errors
    ///
    /// The bytes begin as a compressed file that cannot be inflated.
    pub fn from_bytes(bytes: &'a [u8], compression: Compression) -> Result<Self, FileError> {
        let path = Path::new(NO_PATH);
        let source = inflate(bytes, compression).map_err(|source| FileError::Read { path: path.to_owned(), source })?;
        Ok(Self::new(source, path, None))
    }

    fn new(source: Box<dyn Read + 'a>, path: &Path, opened: Option<Metadata>) -> Self {
        Self::with_buffer(source, path, opened, BUFFER)
    }

    fn with_buffer(source: Box<dyn Read + 'a>, path: &Path, opened: Option<Metadata>, bytes: usize) -> Self {
        Self {
            source,
            path: path.to_owned(),
            opened,
            buffer: vec![0; bytes],
            begin: 0,
            end: 0,
            number: 0,
            source_ended: false,
            meter: None,
        }
    }

    /// Where the lines are from; `-` for bytes in memory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The next line; none at the end of the file.
    ///
    /// A line that is too long is an error in the line's place, and reading goes on behind it.
    ///
    /// # Errors
    ///
    /// The file cannot be read on, its compression is damaged, or it changed while it was read.
    pub fn next_line(&mut self) -> Result<Option<NumberedLine<'_>>, FileError> {
        let Some((begin, end)) = self.find()? else { return Ok(None) };
        let mut line = &self.buffer[begin..end];
        if line.len() > MAX_LINE {
            return Ok(Some((self.number, Err(TOO_LONG))));
        }
        if self.number == 1 {
            line = line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(line);
        }
        line = line.strip_suffix(b"\r").unwrap_or(line);
        Ok(Some((self.number, Ok(line))))
    }

    /// The lines that come next, as many as one block holds; none at the end of the file.
    ///
    /// # Errors
    ///
    /// As [`Lines::next_line`].
    pub(super) fn next_block(&mut self) -> Result<Option<Block>, FileError> {
        let before = self.number;
        self.buffer.copy_within(self.begin..self.end, 0);
        (self.begin, self.end) = (0, self.end - self.begin);
        self.buffer.resize(BLOCK.max(self.end), 0);
        while !self.source_ended && self.end < self.buffer.len() {
            self.fill()?;
        }
        if self.end == 0 {
            return self.check_unchanged().map(|()| None);
        }
        let whole =
            if self.source_ended { Some(self.end) } else { memrchr(b'\n', &self.buffer[..self.end]).map(|at| at + 1) };
        let Some(whole) = whole else {
            self.skip_line()?;
            self.number += 1;
            return Ok(Some(Block { before, bytes: Vec::new(), is_last: false }));
        };
        let rest = self.buffer[whole..self.end].to_vec();
        self.end = rest.len();
        let mut bytes = std::mem::replace(&mut self.buffer, rest);
        bytes.truncate(whole);
        let newlines = memchr_iter(b'\n', &bytes).count() as u64;
        self.number += newlines + u64::from(bytes.last() != Some(&b'\n'));
        Ok(Some(Block { before, bytes, is_last: self.source_ended }))
    }

    /// Hands every line to `parse`, and what is wrong with one to `sink`.
    ///
    /// # Errors
    ///
    /// As [`Lines::next_line`], and a line error that ends the load.
    pub(super) fn each<S: super::Sink>(
        mut self,
        sink: &mut S,
        mut parse: impl FnMut(u64, &[u8], &mut S) -> Result<(), LineError>,
    ) -> Result<(), FileError> {
        while let Some((number, line)) = self.next_line()? {
            match line.and_then(|line| parse(number, line, sink)) {
                Ok(()) => {}
                Err(error) if error.ends_load() => {
                    return Err(FileError::Line { path: self.path, line: number, error });
                }
                Err(error) => sink.problem(number, error),
            }
        }
        Ok(())
    }

    /// Hands every line to `parse`, and what is wrong with one to `skipped`.
    ///
    /// # Errors
    ///
    /// As [`Lines::next_line`].
    pub(crate) fn each_or_skip(
        mut self,
        skipped: &mut Skipped,
        mut parse: impl FnMut(&[u8]) -> Result<(), LineError>,
    ) -> Result<(), FileError> {
        let path: Arc<Path> = self.path.as_path().into();
        while let Some((number, line)) = self.next_line()? {
            if let Err(error) = line.and_then(&mut parse) {
                skipped.push(&path, number, error);
            }
        }
        Ok(())
    }

    /// The bytes of a file that is no text, inflated.
    ///
    /// # Errors
    ///
    /// As [`Lines::next_line`].
    pub(crate) fn into_bytes(mut self) -> Result<Vec<u8>, FileError> {
        let mut bytes = Vec::new();
        let read = self.source.read_to_end(&mut bytes);
        read.map_err(|source| FileError::Read { path: self.path.clone(), source })?;
        self.check_unchanged()?;
        Ok(bytes)
    }

    /// Where the next line stands in the buffer; of a line that is too long, its beginning alone.
    fn find(&mut self) -> Result<Option<(usize, usize)>, FileError> {
        let mut searched = self.begin;
        loop {
            if let Some(at) = memchr(b'\n', &self.buffer[searched..self.end]) {
                let line = (self.begin, searched + at);
                self.begin = searched + at + 1;
                self.number += 1;
                return Ok(Some(line));
            }
            searched = self.end;
            if self.source_ended {
                let line = (self.begin, self.end);
                self.begin = self.end;
                if line.0 == line.1 {
                    return self.check_unchanged().map(|()| None);
                }
                self.number += 1;
                return Ok(Some(line));
            }
            if self.end - self.begin == self.buffer.len() {
                self.skip_line()?;
                self.number += 1;
                return Ok(Some((0, MAX_LINE + 1)));
            }
            if self.end == self.buffer.len() {
                self.buffer.copy_within(self.begin..self.end, 0);
                searched -= self.begin;
                self.end -= self.begin;
                self.begin = 0;
            }
            self.fill()?;
        }
    }

    /// Reads on to behind the next newline, keeping nothing of what lies before it.
    fn skip_line(&mut self) -> Result<(), FileError> {
        loop {
            (self.begin, self.end) = (0, 0);
            self.fill()?;
            if let Some(at) = memchr(b'\n', &self.buffer[..self.end]) {
                self.begin = at + 1;
                return Ok(());
            }
            if self.source_ended {
                self.begin = self.end;
                return Ok(());
            }
        }
    }

    /// Reads more behind what the buffer holds; there is room.
    fn fill(&mut self) -> Result<(), FileError> {
        if let Some((meter, told)) = &mut self.meter {
            meter.add_lines(self.number - *told);
            *told = self.number;
        }
        loop {
            match self.source.read(&mut self.buffer[self.end..]) {
                Ok(count) => {
                    self.end += count;
                    self.source_ended = count == 0;
                    return Ok(());
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => return Err(FileError::Read { path: self.path.clone(), source }),
            }
        }
    }

    fn check_unchanged(&mut self) -> Result<(), FileError> {
        let Some(before) = self.opened.take() else { return Ok(()) };
        let state = |file: &Metadata| (file.dev(), file.ino(), file.size(), file.mtime(), file.mtime_nsec());
        // the path and not the open file, so that a file that was replaced meanwhile is read again
        match std::fs::metadata(&self.path) {
            Ok(now) if state(&now) == state(&before) => Ok(()),
            _ => Err(FileError::Changed { path: self.path.clone() }),
        }
    }
}

/// A file whose bytes are counted as they are read.
struct Metered {
    file: File,
    meter: Option<Arc<Meter>>,
}

impl Read for Metered {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read(buffer)?;
        if let Some(meter) = &self.meter {
            meter.add_bytes(count as u64);
        }
        Ok(count)
    }
}

/// The bytes of `source` as a list has them, inflated if its first bytes are those of a compressed file.
fn inflate<'a>(mut source: impl Read + 'a, compression: Compression) -> io::Result<Box<dyn Read + 'a>> {
    if compression == Compression::Off {
        return Ok(Box::new(source));
    }
    let mut magic = Vec::with_capacity(MAGIC);
    source.by_ref().take(MAGIC as u64).read_to_end(&mut magic)?;
    let is_gzip = magic.starts_with(GZIP);
    let is_zstd = magic.starts_with(ZSTD);
    let whole = Cursor::new(magic).chain(source);
    Ok(if is_gzip {
        Box::new(flate2::read::MultiGzDecoder::new(whole))
    } else if is_zstd {
        Box::new(zstd::Decoder::new(whole)?)
    } else {
        Box::new(whole)
    })
}

/// A line may have this many bytes, its end not counted: rbldnsd's limit.
const MAX_LINE: usize = 32 * 1024;
/// What is said of a line over it.
pub(super) const TOO_LONG: LineError = LineError::LineTooLong { limit: MAX_LINE };
/// What is handed to a thread at a time: a millisecond's work, so that passing it on does not count.
const BLOCK: usize = 256 << 10;
/// What is read at a time: large enough that the system call does not count.
const BUFFER: usize = 1 << 20;
/// How many bytes tell a compressed file.
const MAGIC: usize = 4;
/// RFC 1952, section 2.3.1, with the one compression method there is.
const GZIP: &[u8] = &[0x1f, 0x8b, 8];
/// RFC 8878, section 3.1.1.
const ZSTD: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];
/// UTF-8's, which some editors write in front.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
/// What stands for the path of bytes in memory.
const NO_PATH: &str = "-";

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn all(mut lines: Lines<'_>) -> Result<Vec<String>, FileError> {
        let mut found = Vec::new();
        while let Some((number, line)) = lines.next_line()? {
            found.push(match line {
                Ok(line) => format!("{number} {}", line.escape_ascii()),
                Err(error) => format!("{number} {error}"),
            });
        }
        Ok(found)
    }

    fn of(bytes: &[u8]) -> Vec<String> {
        all(Lines::from_bytes(bytes, Compression::Detect).unwrap()).unwrap()
    }

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn lines_end_in_any_way() {
        assert_eq!(of(b""), [""; 0]);
        assert_eq!(of(b"a\nb"), ["1 a", "2 b"]);
        assert_eq!(of(b"a\r\n\r\n\nb\n"), ["1 a", "2 ", "3 ", "4 b"]);
        assert_eq!(of(b"\xef\xbb\xbfa\n\xef\xbb\xbfb\xff\0"), ["1 a", "2 \\xef\\xbb\\xbfb\\xff\\x00"]);
        assert_eq!(of(b"\xef\xbb\xbf"), ["1 "]);
    }

    #[test]
    fn long_lines_are_skipped_in_place() {
        let fits = "x".repeat(MAX_LINE);
        for over in [1, 1000, BUFFER - MAX_LINE - 1, BUFFER - MAX_LINE, BUFFER, 5 * BUFFER] {
            let list = format!("a\n{fits}\n{}\nb\n{}", "y".repeat(MAX_LINE + over), "z".repeat(MAX_LINE + over));
            let lines = of(list.as_bytes());
            let skipped = "line over 32768 bytes: skipped";
            let expected = [
                "1 a".to_owned(),
                format!("2 {fits}"),
                format!("3 {skipped}"),
                "4 b".to_owned(),
                format!("5 {skipped}"),
            ];
            assert!(lines == expected, "{over}");
        }
    }

    #[test]
    fn many_lines_cross_the_buffers_end() {
        let list: String = (0..300_000).map(|index| format!("line {index}\n")).collect();
        let lines = of(list.as_bytes());
        assert_eq!(lines.len(), 300_000);
        assert!(lines.iter().enumerate().all(|(index, line)| *line == format!("{} line {index}", index + 1)));
    }

    #[test]
    fn blocks_hold_all_lines_with_their_numbers() {
        let line = |index: u64| match index % 50_000 {
            7 => "x".repeat(MAX_LINE + 5),
            8 => "y".repeat(3 * BLOCK),
            _ => format!("line {index}\r"),
        };
        let list: Vec<String> = (0..120_000).map(line).collect();
        for list in [list.join("\n"), list.join("\n") + "\n", String::new(), "z".repeat(BLOCK)] {
            let mut blocks = Lines::from_bytes(list.as_bytes(), Compression::Detect).unwrap();
            let mut found = Vec::new();
            while let Some(block) = blocks.next_block().unwrap() {
                assert!(block.bytes.len() <= BLOCK);
                if block.bytes.is_empty() {
                    found.push(format!("{} {}", block.before + 1, TOO_LONG));
                }
                found.extend(all(Lines::of_block(block, Path::new("-"))).unwrap());
            }
            assert!(found == of(list.as_bytes()));
        }
    }

    #[test]
    fn compressed_lists_are_inflated() {
        let members = [gzip(b"a\nb"), gzip(b"c\nd\n")].concat();
        assert_eq!(of(&members), ["1 a", "2 bc", "3 d"]);
        let frames = [zstd::encode_all(&b"a\nb"[..], 1).unwrap(), zstd::encode_all(&b"c\n"[..], 1).unwrap()].concat();
        assert_eq!(of(&frames), ["1 a", "2 bc"]);
        let raw = all(Lines::from_bytes(&members, Compression::Off).unwrap()).unwrap();
        assert!(raw[0].starts_with("1 \\x1f\\x8b"));
    }

    #[test]
    fn damaged_compression_is_an_error() {
        let whole = gzip(b"some text\n");
        let mut wrong_sum = whole.clone();
        let sum = wrong_sum.len() - 8;
        wrong_sum[sum] ^= 1;
        for damaged in [&wrong_sum[..], &whole[..whole.len() - 1], &whole[..12]] {
            let error = all(Lines::from_bytes(damaged, Compression::Detect).unwrap()).unwrap_err();
            assert!(matches!(error, FileError::Read { .. }), "{error}");
        }
        let frame = zstd::encode_all(&b"some text\n"[..], 1).unwrap();
        assert!(all(Lines::from_bytes(&frame[..frame.len() - 1], Compression::Detect).unwrap()).is_err());
    }

    #[test]
    fn a_file_that_changes_meanwhile_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("list");
        std::fs::write(&path, "a\nb\n").unwrap();
        assert_eq!(all(Lines::open(&path, Compression::Detect).unwrap()).unwrap(), ["1 a", "2 b"]);

        let lines = Lines::open(&path, Compression::Detect).unwrap();
        std::fs::OpenOptions::new().append(true).open(&path).unwrap().write_all(b"c\n").unwrap();
        assert!(matches!(all(lines), Err(FileError::Changed { .. })));

        let lines = Lines::open(&path, Compression::Detect).unwrap();
        let other = folder.path().join("other");
        std::fs::write(&other, "a\nb\nc\n").unwrap();
        std::fs::rename(&other, &path).unwrap();
        let error = all(lines).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("{}: changed while it was read: try again, and replace lists by rename", path.display())
        );
    }

    #[test]
    fn what_cannot_be_opened_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("missing");
        let error = Lines::open(&missing, Compression::Detect).err().unwrap().to_string();
        assert!(error.starts_with(&format!("{}: ", missing.display())), "{error}");
        let error = Lines::open(folder.path(), Compression::Detect).err().unwrap().to_string();
        assert_eq!(error, format!("{}: is a directory", folder.path().display()));
    }
}
