//! A log that publishes nothing below an index: C2SP tlog-tiles, "Pruning".

use std::time::Duration;

use duramen_log::http::{Limits, Site, public};

use crate::rig::{Client, ORIGIN, Rig, key};

async fn filled(rig: &Rig, entries: u32) -> Client {
    let client = rig.served(&Limits::default());
    let batch: Vec<u8> = (0..entries)
        .flat_map(|number| [&4u32.to_be_bytes()[..], &number.to_be_bytes()].concat())
        .collect();
    assert_eq!(client.send("POST", "/add-batch", batch).await.status, 200);
    let site = std::sync::Arc::clone(&client.site);
    tokio::task::spawn_blocking(move || site.close()).await.unwrap().unwrap();
    client
}

#[tokio::test(flavor = "multi_thread")]
async fn below_the_minimum_index_nothing_is_answered_and_above_it_everything() {
    let rig = Rig::new();
    drop(filled(&rig, 600).await);
    let client =
        rig.client(&Limits::default(), |config| config.first_anchor(false).minimum_index(300));
    let leaf = |number: u32| {
        let leaf = duramen::Hasher::leaf(&duramen::Rfc6962Sha256, &number.to_be_bytes());
        leaf.iter().map(|byte| format!("{byte:02x}")).collect::<String>()
    };
    let (pruned, kept) = (leaf(299), leaf(300));
    for (path, status) in [
        ("/v1/entry?index=299", 410),
        ("/v1/entry?index=300", 200),
        ("/v1/proof?index=299", 410),
        ("/v1/proof?index=300", 200),
        ("/v1/proof?index=300&size=301", 200),
        ("/v1/proof?index=299&format=tlog-proof", 410),
        ("/v1/proof?index=300&format=tlog-proof", 200),
        (&format!("/v1/proof?leaf={pruned}"), 410),
        (&format!("/v1/proof?leaf={kept}"), 200),
        (&format!("/v1/find?leaf={pruned}"), 410),
        (&format!("/v1/find?leaf={kept}"), 200),
        ("/v1/consistency?from=299&to=600", 410),
        ("/v1/consistency?from=300&to=600", 200),
        ("/v1/tail?from=299", 410),
        ("/v1/entry?index=600", 404),
        // "if the resource's end index is below or equal to the minimum index"
        ("/tile/0/000", 410),
        ("/tile/0/001", 200),
        ("/tile/entries/000", 410),
        ("/tile/1/000.p/2", 200),
    ] {
        let answer = client.get(path).await;
        assert_eq!(answer.status, status, "{path}: {answer:?}");
        if status == 410 {
            assert!(answer.text().contains("nothing below index 300"), "{answer:?}");
        }
    }
    // The tree takes an equal entry for what it has, wherever that is.
    assert_eq!(client.add(5u32.to_be_bytes().to_vec()).await.json()["index"], 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_minimum_index_is_at_most_the_size_of_the_checkpoint() {
    let rig = Rig::new();
    drop(filled(&rig, 10).await);
    let open = |least: u64| {
        let anchor = Box::new(rig.anchor.clone());
        let config = duramen_log::LogConfig::new(duramen::TreeName::main(), ORIGIN, key(), anchor);
        duramen_log::Log::open(
            &rig.store,
            std::sync::Arc::clone(&rig.reader),
            config.minimum_index(least),
        )
    };
    let refused = open(11).unwrap_err().to_string();
    assert!(refused.contains("it has 10 leaves"), "{refused}");
    let log = open(10).unwrap();
    let site = Site::new(vec![("a".to_owned(), log)], &Limits::default()).unwrap();
    let client = Client { router: public(&site), site };
    assert_eq!(client.get("/a/v1/entry?index=9").await.status, 410);
}

#[test]
fn a_log_without_a_key_of_its_name_is_not_opened() {
    let rig = Rig::new();
    let open = |more: Option<duramen_log::LogSigner>| {
        let anchor = Box::new(rig.anchor.clone());
        let tree = duramen::TreeName::main();
        let config = duramen_log::LogConfig::new(tree, "another", key(), anchor).first_anchor(true);
        let config = match more {
            Some(more) => config.signer(more),
            None => config,
        };
        let config = config.interval(Duration::from_secs(3600));
        duramen_log::Log::open(&rig.store, std::sync::Arc::clone(&rig.reader), config)
    };
    let refused = open(None).unwrap_err();
    assert!(matches!(refused, duramen_log::LogError::KeyName { .. }), "{refused}");
    assert!(refused.to_string().contains("\"example.com/log\""), "{refused}");
    let own = duramen::tlog::Ed25519Signer::from_secret("another", &[8; 32]).unwrap();
    open(Some(std::sync::Arc::new(own))).unwrap();
}
