//! Searches that are behind the writes, as those of real services are.

/// A search that is behind the writes by a number of requests, so that it is the same in every run.
#[derive(Debug, Default)]
pub struct SearchLag {
    requests: u64,
    lag: u64,
}

impl SearchLag {
    /// Search finds a record only when so many requests came after the one that made it; 0 for at once.
    pub fn set(&mut self, requests: u64) {
        self.lag = requests;
    }

    /// Counts a request.
    pub fn count(&mut self) {
        self.requests += 1;
    }

    /// The number of this request, to keep with a record that it makes.
    #[must_use]
    pub fn now(&self) -> u64 {
        self.requests
    }

    /// Whether search knows by now of what that request made.
    #[must_use]
    pub fn shows(&self, made_at: u64) -> bool {
        self.lag == 0 || self.requests > made_at + self.lag
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_search_that_lags_knows_a_record_later() {
        let mut lag = SearchLag::default();
        assert!(lag.shows(lag.now()));
        lag.set(1);
        let made_at = lag.now();
        let known = [(); 3].map(|()| {
            lag.count();
            lag.shows(made_at)
        });
        assert_eq!(known, [false, true, true]);
    }
}
