//! A server that stops, over real sockets.

use std::time::Duration;

use duramen::tlog::{NoteVerifier, TlogProof};
use duramen::{Hasher, Rfc6962Sha256};
use duramen_log::http::{Limits, Listener, serve};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::rig::{ORIGIN, Rig, key, until};

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_for_a_checkpoint_gets_it_when_the_server_stops() {
    let rig = Rig::new();
    // The next checkpoint would come in an hour.
    let client = rig.served(&Limits::default());
    assert_eq!(client.add("the first, after which the publisher pauses").await.status, 200);
    until("the checkpoint", async || client.get("/checkpoint").await.signed().size.get() == 1)
        .await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let stopped = async { drop(stopped.await) };
    let (router, site) = (client.router.clone(), client.site.clone());
    let limits = Limits { drain: Duration::from_secs(60), ..Limits::default() };
    let listener = Listener::Tcp(listener);
    let serving = tokio::spawn(async move { serve(listener, router, site, limits, stopped).await });
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = "POST /add?wait=checkpoint HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\n\r\ntwo";
    stream.write_all(request.as_bytes()).await.unwrap();
    // The entry is durable, and its client waits.
    until("the entry", async || client.get("/v1/state").await.json()["durable"] == 2).await;
    stop.send(()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200"), "{answer}");
    let proof: TlogProof = body.parse().unwrap();
    let key = key().verifier();
    let leaf = Rfc6962Sha256.leaf(b"two");
    let signed = proof.verify(&[&key as &dyn NoteVerifier], ORIGIN, &leaf).unwrap();
    assert_eq!(signed.head().size.get(), 2);
    assert!(serving.await.unwrap().unwrap(), "the requests ended in time");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_connections_are_served_and_more_than_the_limit_wait() {
    let rig = Rig::new();
    let client = rig.served(&Limits::default());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let stopped = async { drop(stopped.await) };
    // Silent ones lose their places.
    let limits = Limits { connections: 50, head: Duration::from_millis(500), ..Limits::default() };
    let (router, site) = (client.router.clone(), client.site.clone());
    let listener = Listener::Tcp(listener);
    let serving = tokio::spawn(async move { serve(listener, router, site, limits, stopped).await });
    let mut silent = Vec::new();
    for place in 0..50 {
        let mut stream = TcpStream::connect(address).await.unwrap();
        // Some send a byte, and then nothing.
        if place % 2 == 0 {
            stream.write_all(b"G").await.unwrap();
        }
        silent.push(stream);
    }
    let ask = |place: u32| async move {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let entry = format!("{place:08}");
        let request = format!(
            "POST /add HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 8\r\n\r\n{entry}"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    };
    let asked: Vec<_> = (0..300).map(|place| tokio::spawn(ask(place))).collect();
    for one in asked {
        let answer = one.await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
    for stream in &mut silent {
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest).await;
        assert!(!String::from_utf8_lossy(&rest).contains("200 OK"));
    }
    stop.send(()).unwrap();
    serving.await.unwrap().unwrap();
}
