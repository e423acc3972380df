//! What `-h` prints.

/// Every option, one a line.
pub(crate) const USAGE: &str = concat!(
    "infamy ",
    env!("CARGO_PKG_VERSION"),
    ", called as rbldnsd

Usage: rbldnsd [options] zone:type:file[,file...] ...

Network
  -b ADDR[/PORT]   listen here, UDP and TCP; may be repeated; needed unless
                   sockets are handed over (LISTEN_FDS)
  -4               only IPv4 addresses of the names in -b
  -6               only IPv6 addresses of the names in -b

Process
  -n               stay in the foreground, messages to stdout and stderr
  -u USER[:GROUP]  run as this account (rbldns if started by root)
  -r DIR           make DIR the root folder
  -w DIR           working folder, inside the new root
  -p FILE          write the process id here
  -F FACILITY      of syslog messages (daemon)
  -q               go into the background before loading; a zone that cannot
                   be loaded answers SERVFAIL until it can

Data
  -c TIME          how often files are checked for changes (1m); 0: on SIGHUP
  -e               take CIDRs with host bits set, and ignore those bits
  -C               do not inflate compressed files
  -f               taken for compatibility: answers never wait for a reload
  -t DEF[:MIN[:MAX]]
                   TTL of entries that say none (35m), and bounds of others

Answers
  -a               no NS records in the authority section
  -A               NS records in the authority section (as without -a)
  -v               version.bind tells no version; -vv: is refused

Records
  -l [+]FILE       log queries, `-' for stdout; +: without buffering
  -s [+]FILE       append statistics every -c; +: what is new since then
  -d               print all zones as master files and exit
  -h               print this and exit

Not supported: extension modules (-x, -X).

Types: ip4set ip4tset ip4trie ip6tset ip6trie dnset generic combined acl.
`:acl:file' without a zone holds for all zones. SIGHUP checks files and reopens
the query log, SIGUSR1 logs statistics, SIGUSR2 also starts them anew.
"
);
