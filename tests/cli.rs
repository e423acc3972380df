//! Transcripts of the command line, which are its documentation too.
//!
//! `TRYCMD=overwrite cargo test --test cli` writes them anew; what changed is then to be read in the diff.

#[test]
fn transcripts() {
    trycmd::TestCases::new().case("tests/cli/*.trycmd");
}
