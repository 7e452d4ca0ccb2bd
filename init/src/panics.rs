//! What happens when PID 1 itself has a bug: it is told on every console, and PID 1 goes on if it can.

use std::panic::PanicHookInfo;

/// Tells about a panic where a person sees it. Unwinding goes on; the event loop catches it.
pub(crate) fn install_hook() {
    std::panic::set_hook(Box::new(tell));
}

fn tell(info: &PanicHookInfo<'_>) {
    let place = info.location().map_or_else(|| "an unknown place".to_owned(), ToString::to_string);
    let payload = info.payload();
    let what = payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message");
    crate::console::emergency(&format!("init: bug at {place}: {what}"));
}
