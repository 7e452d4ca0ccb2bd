//! A PID 1 made for the test: it answers with fixed words and remembers what it was asked.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use supervision::{Answer, LogLine, Request, ServiceStatus};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinHandle;

/// The control socket and what came in.
pub(crate) struct Pid1 {
    path: PathBuf,
    orders: Arc<Mutex<Vec<Request>>>,
    task: JoinHandle<()>,
}

impl Pid1 {
    /// Listens at `path`.
    pub(crate) fn start(path: &Path) -> Self {
        let _ = fs::remove_file(path);
        let listener = UnixListener::bind(path).unwrap();
        let orders = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&orders);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(answer(stream, Arc::clone(&seen)));
            }
        });
        Self { path: path.to_owned(), orders, task }
    }

    /// Everything that was asked so far.
    pub(crate) fn orders(&self) -> Vec<Request> {
        self.orders.lock().unwrap().clone()
    }

    /// Stops listening; the socket is gone.
    pub(crate) fn stop(&mut self) {
        self.task.abort();
        let _ = fs::remove_file(&self.path);
    }
}

async fn answer(stream: UnixStream, orders: Arc<Mutex<Vec<Request>>>) {
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    stream.read_line(&mut line).await.unwrap();
    let request: Request = serde_json::from_str(&line).unwrap();
    // PID 1's own log is followed all the time, and nobody orders that.
    let own_log = matches!(&request, Request::Logs { service, .. } if service == "init");
    if !own_log {
        orders.lock().unwrap().push(request.clone());
    }
    let (answers, follow) = match request {
        Request::Services => (vec![Answer::Services(vec![store()])], false),
        Request::Logs { service, follow, .. } if service == "init" => {
            let line = |uptime_ms, text: &str| Answer::LogLine(LogLine { uptime_ms, text: text.into() });
            let lines = [
                line(900, "service store: starting"),
                line(1_500, "service store: exited (killed by signal 9)"),
                line(1_500, "service store: restart by order"),
            ];
            (lines.into(), follow)
        }
        Request::Logs { service, .. } if service != "store" => {
            (vec![Answer::Refused(format!("there is no service {service}"))], false)
        }
        Request::Logs { tail, follow, .. } => {
            let lines = (1..=tail.unwrap_or(1))
                .map(|number| Answer::LogLine(LogLine { uptime_ms: number.into(), text: format!("line {number}") }));
            (lines.collect(), follow)
        }
        Request::Timeline => (vec![Answer::Timeline(Vec::new())], false),
        Request::Restart { .. } | Request::Signal { .. } | Request::Shutdown { .. } => (vec![Answer::Done], false),
    };
    for answer in answers {
        let mut line = serde_json::to_vec(&answer).unwrap();
        line.push(b'\n');
        // The client may have gone away.
        let _ = stream.write_all(&line).await;
    }
    if follow {
        // Stays open until the client goes away.
        let _ = stream.read_u8().await;
    }
}

fn store() -> ServiceStatus {
    ServiceStatus {
        name: "store".into(),
        state: "ready".into(),
        pid: Some(42),
        restarts: 3,
        last_exit: Some("killed by signal 9".into()),
        status_text: None,
        since_ms: 1234,
        memory_bytes: Some(1 << 20),
    }
}
