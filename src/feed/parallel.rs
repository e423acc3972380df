//! One file parsed by several threads.
//!
//! The thread that reads cuts the file into blocks of whole lines and passes them on. What makes lines depend on earlier
//! ones, as a default value for those behind it, stands on lines of its own that a glance tells: the reading thread
//! parses these itself, in order, and every block goes with the state of the parser as it is in front of it. Invariant:
//! each line is parsed once, with the state that it would have had if one thread had read the file, by one sink that
//! sees its lines in ascending order.
//!
//! What sinks collected is put together by whoever made them; lines are numbered through the file for that.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SendError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

use memchr::memchr;

use super::lines::{Block, Lines, TOO_LONG};
use super::{FileError, Format, Reading, Sink};

/// A parser that several threads have copies of.
pub(super) trait BlockParser: Clone + Send + Sync {
    /// Whether lines behind this one may depend on it. To say so of too many costs time alone.
    fn is_context(line: &[u8]) -> bool;

    /// Parses lines.
    fn parse(&mut self, lines: Lines<'_>, sink: &mut impl Sink) -> Result<(), FileError>;
}

/// The parser of a format in which every line stands for itself.
#[derive(Clone)]
pub(super) struct LineByLine<'r> {
    pub(super) format: Format,
    pub(super) reading: &'r Reading,
}

impl BlockParser for LineByLine<'_> {
    fn is_context(_line: &[u8]) -> bool {
        false
    }

    fn parse(&mut self, lines: Lines<'_>, sink: &mut impl Sink) -> Result<(), FileError> {
        super::parse(lines, self.format, self.reading, sink)
    }
}

/// Parses lines into `sink` and `helpers`.
pub(super) fn parse<S: Sink + Send, P: BlockParser>(
    mut lines: Lines<'_>,
    mut parser: P,
    sink: &mut S,
    helpers: &mut [S],
) -> Result<(), FileError> {
    let path = lines.path().to_owned();
    let Some(first) = lines.next_block()? else {
        // even a file without lines may be wrong, as a format may need what is not configured
        return parser.parse(lines, sink);
    };
    if first.is_last {
        parser.parse(Lines::of_block(first, &path), sink)?;
        // the file's end, and whether it changed
        return lines.next_block().map(|_| ());
    }
    let failed = AtomicBool::new(false);
    let errors = Mutex::new(Vec::new());
    let (sender, receiver) = sync_channel(BLOCKS_WAITING);
    let own = std::thread::scope(|scope| {
        // theirs alone, so that nobody waits for them should they all be gone
        let receiver = Arc::new(Mutex::new(receiver));
        for helper in helpers {
            let receiver = receiver.clone();
            let (path, failed, errors) = (&path, &failed, &errors);
            let started = std::thread::Builder::new().spawn_scoped(scope, move || {
                if let Err(error) = work(&receiver, path, helper) {
                    failed.store(true, Ordering::Relaxed);
                    errors.lock().unwrap_or_else(PoisonError::into_inner).push(error);
                    // blocks are taken in order, so that what is still on its way is behind the error
                    while receive(&receiver).is_some() {}
                }
            });
            if started.is_err() {
                // the system has no more threads to give; those there are do it
                break;
            }
        }
        drop(receiver);
        let reader = Reader { path: &path, parser: Arc::new(parser), sink, sender, failed: &failed };
        reader.read(&mut lines, first)
    });
    let errors = errors.into_inner().unwrap_or_else(PoisonError::into_inner);
    // one thread would have stopped at the first wrong line, and not have come to where reading failed
    let place = |error: &FileError| if let FileError::Line { line, .. } = error { *line } else { u64::MAX };
    match errors.into_iter().chain(own.err()).min_by_key(place) {
        Some(error) => Err(error),
        None => Ok(()),
    }
}

/// A block with the parser's state in front of it.
type Task<P> = (Block, Arc<P>);

/// Parses blocks until there are no more.
fn work<P: BlockParser>(
    receiver: &Mutex<Receiver<Task<P>>>,
    path: &Path,
    sink: &mut impl Sink,
) -> Result<(), FileError> {
    while let Some((block, parser)) = receive(receiver) {
        P::clone(&parser).parse(Lines::of_block(block, path), sink)?;
    }
    Ok(())
}

fn receive<T>(receiver: &Mutex<Receiver<T>>) -> Option<T> {
    receiver.lock().ok()?.recv().ok()
}

/// The thread that reads.
struct Reader<'p, S, P> {
    path: &'p Path,
    parser: Arc<P>,
    sink: &'p mut S,
    sender: SyncSender<Task<P>>,
    failed: &'p AtomicBool,
}

impl<S: Sink, P: BlockParser> Reader<'_, S, P> {
    fn read(mut self, lines: &mut Lines<'_>, first: Block) -> Result<(), FileError> {
        let mut next = Some(first);
        while let Some(block) = next.filter(|_| !self.failed.load(Ordering::Relaxed)) {
            if block.bytes.is_empty() {
                self.sink.problem(block.before + 1, TOO_LONG);
            } else {
                self.cut(block)?;
            }
            next = lines.next_block()?;
        }
        Ok(())
    }

    /// Passes on the lines of a block between those that others depend on, which are parsed here.
    fn cut(&mut self, block: Block) -> Result<(), FileError> {
        let Block { before, bytes, .. } = block;
        let (mut begin, mut begin_before) = (0, before);
        let (mut at, mut number) = (0, before);
        while at < bytes.len() {
            let end = memchr(b'\n', &bytes[at..]).map_or(bytes.len(), |length| at + length + 1);
            if P::is_context(&bytes[at..end]) {
                self.pass_on(begin_before, &bytes[begin..at])?;
                self.parse(number, &bytes[at..end])?;
                (begin, begin_before) = (end, number + 1);
            }
            (at, number) = (end, number + 1);
        }
        if begin == 0 {
            return self.send(Block { before, bytes, is_last: false });
        }
        self.pass_on(begin_before, &bytes[begin..])
    }

    /// Lines for another thread, or, where they are too few, for this one.
    fn pass_on(&mut self, before: u64, lines: &[u8]) -> Result<(), FileError> {
        if lines.len() < WORTH_PASSING {
            return self.parse(before, lines);
        }
        self.send(Block { before, bytes: lines.to_vec(), is_last: false })
    }

    fn send(&mut self, block: Block) -> Result<(), FileError> {
        match self.sender.send((block, self.parser.clone())) {
            Ok(()) => Ok(()),
            // no thread could be started, or none is left
            Err(SendError((block, _))) => self.parse_block(block),
        }
    }

    fn parse(&mut self, before: u64, lines: &[u8]) -> Result<(), FileError> {
        if lines.is_empty() {
            return Ok(());
        }
        self.parse_block(Block { before, bytes: lines.to_vec(), is_last: false })
    }

    fn parse_block(&mut self, block: Block) -> Result<(), FileError> {
        // blocks on their way keep the state as it was
        Arc::make_mut(&mut self.parser).parse(Lines::of_block(block, self.path), self.sink)
    }
}

/// Blocks that wait for a thread: enough that none has to wait for the reader.
const BLOCKS_WAITING: usize = 4;
/// Fewer bytes are parsed sooner than passed on.
const WORTH_PASSING: usize = 16 << 10;
