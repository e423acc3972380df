//! Compiled files that lie about what is in them.

use std::sync::OnceLock;

use infamy::dataset::{self, NeverList, compiled};

use crate::hostile::{open_and_ask, reseal};
use crate::world::{LISTS, NOW, dataset};

/// Opens what the bytes make of a whole file, and asks it everything.
///
/// The first byte chooses the file; then two bytes say where, and one what is written there. The checksums are made right,
/// so that the liar gets past them. Beyond the files there is one that is nothing but the bytes.
pub fn open(bytes: &[u8]) {
    static FILES: OnceLock<Vec<Vec<u8>>> = OnceLock::new();
    let files = FILES.get_or_init(files);
    let Some((&first, changes)) = bytes.split_first() else { return };
    let mut file = files.get(usize::from(first) % (files.len() + 1)).cloned().unwrap_or_else(|| changes.to_vec());
    if usize::from(first) % (files.len() + 1) < files.len() {
        for change in changes.chunks_exact(3) {
            let at = usize::from(u16::from_le_bytes([change[0], change[1]])) % file.len();
            file[at] = change[2];
        }
    }
    reseal(&mut file);
    open_and_ask(&file);
}

/// A whole file of every list.
pub(crate) fn files() -> Vec<Vec<u8>> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let compile = |(name, format, text): &(&str, _, &str)| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("a list file");
        let spec = dataset(name, *format, &path);
        let (loaded, _) = dataset::load(&spec, &NeverList::empty(), NOW.0).expect("the lists are right");
        compiled::to_bytes(&loaded, *format).expect("they are few")
    };
    LISTS.iter().map(compile).collect()
}
