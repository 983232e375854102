//! Sources in order, and one fetch for all who ask.

use super::*;
use std::sync::atomic::{AtomicU32, Ordering};

/// A source that counts how often it is asked.
#[derive(Debug, Default)]
struct Scripted {
    values: HashMap<String, String>,
    broken: bool,
    asked: Arc<AtomicU32>,
}

impl Scripted {
    fn with(name: &str, value: &str) -> Self {
        Self { values: HashMap::from([(name.to_owned(), value.to_owned())]), ..Self::default() }
    }
}

#[async_trait]
impl SecretSource for Scripted {
    fn place(&self) -> String {
        format!("a place with {} values", self.values.len())
    }

    async fn find(&self, name: &str) -> Result<Found, String> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(20)).await;
        if self.broken {
            return Err("access denied".to_owned());
        }
        Ok(match self.values.get(name) {
            Some(value) => Found::Value(SecretValue::new(value.clone()).unwrap()),
            None => Found::Absent(format!("has no {name}")),
        })
    }
}

#[tokio::test]
async fn the_first_source_that_has_it_wins() {
    let secrets = Secrets::of(vec![
        Box::new(Scripted::default()),
        Box::new(Scripted::with("A", "first")),
        Box::new(Scripted { broken: true, ..Scripted::with("A", "second") }),
    ]);
    assert_eq!(secrets.fetch("A").await.unwrap().value.expose(), "first");
    assert_eq!(secrets.place("A").await.unwrap(), "a place with 1 values");
    assert_eq!(
        secrets.place("B").await.unwrap_err().to_string(),
        "the secret `B` cannot be read: a place with 1 values: access denied"
    );
    let secrets = Secrets::of(vec![Box::new(Scripted::default()), Box::new(Scripted::with("A", "first"))]);
    let error = secrets.place("B").await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "the secret `B` is not set: a place with 0 values has no B; a place with 1 values has no B; \
         set it there, or list another source in runner.yml"
    );
    assert!(matches!(Error::from(error), Error::NotFound(_)));
}

#[tokio::test]
async fn a_value_is_fetched_once_and_a_failure_is_shared() {
    let source = Scripted::with("A", "value");
    let asked = source.asked.clone();
    let secrets = Secrets::of(vec![Box::new(source)]);
    let all = futures_util::future::join_all((0..20).map(|_| secrets.place("A"))).await;
    assert!(all.iter().all(Result::is_ok));
    assert!(secrets.place("A").await.is_ok());
    assert_eq!(asked.load(Ordering::Relaxed), 1);
    let all = futures_util::future::join_all((0..20).map(|_| secrets.place("B"))).await;
    assert!(all.iter().all(Result::is_err));
    assert_eq!(asked.load(Ordering::Relaxed), 2);
    // Whoever asks after the failure asks anew.
    assert!(secrets.place("B").await.is_err());
    assert_eq!(asked.load(Ordering::Relaxed), 3);
}

#[tokio::test]
async fn a_source_that_does_not_answer_is_an_error() {
    #[derive(Debug)]
    struct Silent;

    #[async_trait]
    impl SecretSource for Silent {
        fn place(&self) -> String {
            "nowhere".to_owned()
        }

        async fn find(&self, _: &str) -> Result<Found, String> {
            std::future::pending().await
        }
    }

    let secrets = Secrets { wait: Duration::from_millis(20), ..Secrets::of(vec![Box::new(Silent)]) };
    let error = secrets.place("A").await.unwrap_err();
    assert_eq!(error.to_string(), "the secret `A` cannot be read: nowhere: no answer within 20ms");
}

#[test]
fn nothing_shows_a_value() {
    let found = Found::Value(SecretValue::new("hunter22".to_owned()).unwrap());
    assert!(!format!("{found:?}").contains("hunter22"));
}
