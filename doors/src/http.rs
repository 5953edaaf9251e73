//! What is served over HTTP: each door adds its routes here.

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;

use crate::exchange::Exchange;

/// The routes of the HTTP port.
pub fn router(exchange: Exchange) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/health", get(health))
        .with_state(exchange)
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
