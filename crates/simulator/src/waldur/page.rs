//! Pages of lists: `page`, `page_size`, `X-Result-Count` and `Link` (Waldur contract §2.2).

use serde_json::Value;

use super::answer::{Answer, Outcome};
use super::request::{Method, Query, Request};

const DEFAULT_SIZE: usize = 10;
const LARGEST_SIZE: usize = 300;

/// Answers with the page that the request asks for; only the rows on it are rendered.
pub(crate) fn page<T>(request: &Request, rows: &[T], render: impl Fn(&T) -> Value) -> Outcome {
    let count = rows.len();
    let size = match request.query.get("page_size").and_then(|text| text.parse::<usize>().ok()) {
        None | Some(0) => DEFAULT_SIZE,
        Some(size) => size.min(LARGEST_SIZE),
    };
    let last = count.div_ceil(size).max(1);
    let number = match request.query.get("page") {
        None => 1,
        Some("last") => last,
        Some(text) => text.parse::<usize>().map_err(|_| Answer::invalid_page())?,
    };
    if number == 0 || number > last {
        return Err(Answer::invalid_page());
    }
    let items = if request.method == Method::Head {
        Vec::new()
    } else {
        rows.iter().skip((number - 1) * size).take(size).map(render).collect()
    };
    Ok(Answer::page(items, count, link(request, number, last)))
}

fn link(request: &Request, number: usize, last: usize) -> String {
    let address = |page: usize| {
        let mut pairs: Vec<(String, String)> =
            request.query.0.iter().filter(|(name, _)| name != "page").cloned().collect();
        if page > 1 {
            pairs.push(("page".to_owned(), page.to_string()));
        }
        // Stable, so that repeated parameters keep their order.
        pairs.sort_by(|a, b| a.0.cmp(&b.0));
        let path = request.path.join("/");
        let query = encode(&Query(pairs));
        format!("{}/{path}/{query}", request.base)
    };
    let mut links = vec![format!("<{}>; rel=\"first\"", address(1))];
    if number > 1 {
        links.push(format!("<{}>; rel=\"prev\"", address(number - 1)));
    }
    if number < last {
        links.push(format!("<{}>; rel=\"next\"", address(number + 1)));
    }
    links.push(format!("<{}>; rel=\"last\"", address(last)));
    links.join(", ")
}

fn encode(query: &Query) -> String {
    if query.0.is_empty() {
        return String::new();
    }
    let text = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(&query.0).finish();
    format!("?{text}")
}
