//! What is served over HTTP: each door adds its routes here.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::extract::{ConnectInfo, FromRequestParts, State};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use axum_server::accept::NoDelayAcceptor;
use axum_server::tls_rustls::RustlsAcceptor;
use hyper_util::rt::TokioTimer;
use tokio::net::TcpListener;

use crate::exchange::Exchange;
use crate::security::Security;
use crate::{dialects, page, watch, websocket};

/// The routes of the HTTP port.
pub fn router(exchange: Exchange) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/health", get(health))
        .merge(watch::routes())
        .merge(websocket::routes())
        .merge(page::routes())
        .merge(dialects::routes())
        .with_state(exchange)
}

/// The routes of a program that has no doors.
pub fn figures(exchange: Exchange) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/health", get(health))
        .with_state(exchange)
}

/// Who is at the other end, if the server was told to know ([`serve`] does).
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub Option<SocketAddr>);

impl<S: Sync> FromRequestParts<S> for Peer {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Peer, Infallible> {
        let info = parts.extensions.get::<ConnectInfo<SocketAddr>>();
        Ok(Peer(info.map(|ConnectInfo(peer)| *peer)))
    }
}

/// A request has so long to name what it wants; an idle connection is kept as long.
const HEADERS: Duration = Duration::from_secs(20);

/// Serves a port's routes, unencrypted, to everybody on this host's own pages and to programs.
pub async fn serve(listener: TcpListener, routes: Router) -> io::Result<()> {
    serve_with(listener, routes, &Security::default()).await
}

/// Serves a port's routes.
pub async fn serve_with(
    listener: TcpListener,
    routes: Router,
    security: &Security,
) -> io::Result<()> {
    let routes = security
        .guard(routes)
        .into_make_service_with_connect_info::<SocketAddr>();
    let mut server = axum_server::from_tcp(listener.into_std()?)?.http1_only();
    server
        .http_builder()
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADERS);
    // Words are small and late ones are worth less: none waits for the answer to the one before.
    match security.tls() {
        Some(tls) => {
            let tls = RustlsAcceptor::new(tls.clone()).acceptor(NoDelayAcceptor);
            server.acceptor(tls).serve(routes).await
        }
        None => server.acceptor(NoDelayAcceptor).serve(routes).await,
    }
}

async fn metrics(State(exchange): State<Exchange>) -> impl IntoResponse {
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], exchange.metrics().text())
}

/// 200 while calls are taken, 503 on the way out.
async fn health(State(exchange): State<Exchange>) -> impl IntoResponse {
    let calls = exchange.calls().len();
    match *exchange.phase().borrow() {
        crate::exchange::Phase::Open => (
            StatusCode::OK,
            format!("{{\"status\":\"ok\",\"calls\":{calls}}}\n"),
        ),
        _ => (
            StatusCode::SERVICE_UNAVAILABLE,
            format!("{{\"status\":\"closing\",\"calls\":{calls}}}\n"),
        ),
    }
}
