//! Which endpoint is next: the less loaded of two at random, or the least loaded of all for a WebSocket.
//!
//! An open socket stays where it is for hours, so for WebSockets a chance imbalance would last; for requests,
//! two choices are nearly as good as all and do not make every worker run to the same endpoint at once.

use std::sync::Arc;

use crate::dataplane::live::{EndpointCell, Load};

/// The endpoint to try next, among those that were not tried yet.
pub(crate) fn pick<'e>(
    endpoints: &'e [Arc<EndpointCell>],
    tried: &[Arc<EndpointCell>],
    load: Load,
) -> Option<&'e Arc<EndpointCell>> {
    if tried.is_empty() {
        return match load {
            Load::Exchange => of_two(endpoints.len(), |position| endpoints.get(position)),
            Load::Tunnel => least(endpoints.iter()),
        };
    }
    let left: Vec<_> =
        endpoints.iter().filter(|cell| !tried.iter().any(|tried| tried.address == cell.address)).collect();
    match load {
        Load::Exchange => of_two(left.len(), |position| left.get(position).copied()),
        Load::Tunnel => least(left.into_iter()),
    }
}

fn of_two<'e>(
    count: usize,
    at: impl Fn(usize) -> Option<&'e Arc<EndpointCell>>,
) -> Option<&'e Arc<EndpointCell>> {
    match count {
        0 => None,
        1 => at(0),
        _ => {
            let first = fastrand::usize(..count);
            // Any of the others: a step of 1 to count - 1 around the ring.
            let second = (first + fastrand::usize(1..count)) % count;
            let (first, second) = (at(first)?, at(second)?);
            let heavier = first.loaded_with(Load::Exchange) > second.loaded_with(Load::Exchange);
            Some(if heavier { second } else { first })
        }
    }
}

/// The endpoint with the fewest tunnels; equals are chosen by chance, or the first would get every first one.
fn least<'e>(cells: impl Iterator<Item = &'e Arc<EndpointCell>>) -> Option<&'e Arc<EndpointCell>> {
    cells.min_by_key(|cell| (cell.loaded_with(Load::Tunnel), fastrand::u32(..)))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::dataplane::live::cells_for_test;

    #[test]
    fn the_less_loaded_of_two_is_taken() {
        let cells = cells_for_test(2);
        let _busy = cells[0].enter(Load::Exchange);
        for _ in 0..20 {
            assert_eq!(pick(&cells, &[], Load::Exchange).unwrap().address, cells[1].address);
        }
    }

    #[test]
    fn what_was_tried_is_not_tried_again() {
        let cells = cells_for_test(3);
        let mut tried = Vec::new();
        let mut seen = BTreeSet::new();
        while let Some(cell) = pick(&cells, &tried, Load::Exchange) {
            seen.insert(cell.address);
            tried.push(Arc::clone(cell));
        }
        assert_eq!(seen.len(), 3);
        assert!(pick(&[], &[], Load::Tunnel).is_none());
    }

    #[test]
    fn web_sockets_go_where_the_fewest_are() {
        let cells = cells_for_test(5);
        let mut open = Vec::new();
        for _ in 0..50 {
            open.push(pick(&cells, &[], Load::Tunnel).unwrap().enter(Load::Tunnel));
        }
        assert!(cells.iter().all(|cell| cell.loaded_with(Load::Tunnel) == 10));
        drop(open);
        assert!(cells.iter().all(|cell| cell.loaded_with(Load::Tunnel) == 0));
    }
}
