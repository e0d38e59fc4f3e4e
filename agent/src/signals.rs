//! The signals that the agent passes on to a command.

use nix::sys::signal::Signal as Named;
use rustix::process::Signal;
use rustix_libc_wrappers::process::SignalExt as _;

/// The signals that are not passed on: the kernel sends them to a process for what that process does, or for its
/// terminal, so the command gets its own. A command that a terminal has stopped would not end, while this pod leads on.
const OF_ONE_PROCESS: [Signal; 12] = [
    Signal::ILL,
    Signal::TRAP,
    Signal::BUS,
    Signal::FPE,
    Signal::SEGV,
    Signal::PIPE,
    Signal::SYS,
    Signal::XCPU,
    Signal::XFSZ,
    Signal::TSTP,
    Signal::TTIN,
    Signal::TTOU,
];

/// The signals that are passed on: another process sends them on purpose, and a process can catch them. Real-time
/// signals are included.
pub(crate) fn passed_on() -> impl Iterator<Item = Signal> {
    let others = [Signal::KILL, Signal::STOP, Signal::CHILD];
    (1..=Signal::rt_max().as_raw())
        .filter_map(Signal::from_raw)
        .filter(move |signal| !others.contains(signal) && !OF_ONE_PROCESS.contains(signal))
}

/// The name of a signal, such as `SIGQUIT` or `SIGRTMIN+3`.
pub(crate) fn name(signal: Signal) -> String {
    let raw = signal.as_raw();
    let named = Named::try_from(raw).map(|named| named.as_str().to_owned());
    named.unwrap_or_else(|_| format!("SIGRTMIN+{}", raw - Signal::rt_min().as_raw()))
}

/// Reads a signal as a Dockerfile's `STOPSIGNAL` may name it: `SIGQUIT`, `QUIT`, `3`, `SIGRTMIN+3`.
///
/// # Errors
/// Which names are valid.
pub(crate) fn parse(text: &str) -> Result<Signal, String> {
    let upper = text.to_ascii_uppercase();
    let bare = upper.strip_prefix("SIG").unwrap_or(&upper);
    let is_it = |signal: &Signal| {
        let name = name(*signal);
        let short = name.strip_prefix("SIG").unwrap_or(&name);
        let from_last = short.starts_with("RT").then(|| Signal::rt_max().as_raw() - signal.as_raw());
        short == bare
            || signal.as_raw().to_string() == bare
            || from_last.is_some_and(|last| bare == format!("RTMAX-{last}") || last == 0 && bare == "RTMAX")
            || bare == "RTMIN" && *signal == Signal::rt_min()
    };
    passed_on()
        .find(is_it)
        .ok_or_else(|| "it is no signal that can be passed on, such as SIGQUIT, WINCH or SIGRTMIN+3".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_are_passed_on_but_those_that_are_about_one_process() {
        let passed: Vec<String> = passed_on().map(name).collect();
        for signal in ["SIGHUP", "SIGQUIT", "SIGUSR1", "SIGTERM", "SIGCONT", "SIGWINCH", "SIGRTMIN+0"] {
            assert!(passed.iter().any(|name| name == signal), "{signal}");
        }
        for signal in ["SIGKILL", "SIGSTOP", "SIGCHLD", "SIGSEGV", "SIGPIPE", "SIGTSTP"] {
            assert!(!passed.iter().any(|name| name == signal), "{signal}");
        }
        let real_time = Signal::rt_max().as_raw() - Signal::rt_min().as_raw() + 1;
        assert_eq!(
            passed.iter().filter(|name| name.starts_with("SIGRTMIN+")).count(),
            usize::try_from(real_time).unwrap()
        );
    }

    #[test]
    fn it_is_read_as_images_name_it() {
        for signal in passed_on() {
            for text in [name(signal), name(signal).to_lowercase(), signal.as_raw().to_string()] {
                assert_eq!(parse(&text), Ok(signal), "{text}");
            }
        }
        let rt = |number| Signal::rt(number).unwrap();
        let last = Signal::rt_max().as_raw() - Signal::rt_min().as_raw();
        for (text, signal) in [
            ("QUIT", Signal::QUIT),
            ("SIGRTMIN+3", rt(3)),
            ("RTMIN", rt(0)),
            ("SIGRTMAX-1", rt(last - 1)),
            ("RTMAX", rt(last)),
        ] {
            assert_eq!(parse(text), Ok(signal), "{text}");
        }
        for text in
            ["", "SIG", "0", "-1", "65", "9", "KILL", "SIGSEGV", "SIGRTMIN+99", "SIGRTMAX-99", "SIGRTMIN+-1", "TERM "]
        {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
