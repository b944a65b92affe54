//! What async bodies run in.

/// Waits for a future: in a runtime of tokio with the feature `tokio`, else by itself.
#[doc(hidden)]
#[cfg(feature = "tokio")]
pub fn block_on<F: Future>(future: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(future)
}

/// Waits for a future: in a runtime of tokio with the feature `tokio`, else by itself.
#[doc(hidden)]
#[cfg(not(feature = "tokio"))]
pub fn block_on<F: Future>(future: F) -> F::Output {
    use std::sync::Arc;
    use std::task::{Context, Poll, Wake, Waker};
    use std::thread;

    struct Unpark(thread::Thread);

    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }

    let mut future = std::pin::pin!(future);
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(output) => return output,
            // One that comes before is not lost: this returns at once then.
            Poll::Pending => thread::park(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::block_on;
    use std::thread;

    #[test]
    fn a_future_that_is_woken_from_elsewhere() {
        let (tell, told) = std::sync::mpsc::channel::<std::task::Waker>();
        let waker = thread::spawn(move || told.recv().unwrap().wake());
        let mut asked = false;
        let answer = block_on(std::future::poll_fn(|context| {
            if std::mem::replace(&mut asked, true) {
                return std::task::Poll::Ready(7);
            }
            tell.send(context.waker().clone()).unwrap();
            std::task::Poll::Pending
        }));
        waker.join().unwrap();
        assert_eq!(answer, 7);
    }
}
