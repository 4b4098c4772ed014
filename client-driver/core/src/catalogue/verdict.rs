//! Which of several providers' errors the caller gets to see.
//!
//! When nobody in a chain answered, one code must stand for all. The most telling one is chosen (`Look-up` and
//! `SetServiceEx` rank differently, because "access denied" says most about a change and "there is such a name,
//! but not that data" says most about a look-up); within one rank the first wins, so the answer does not depend on
//! how long the chain is.

use nsemail_contract::codes::WsaCode;

/// What kind of call the errors belong to, which decides how they rank.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ranking {
    /// `WSANO_DATA`, then `WSASERVICE_NOT_FOUND`, then the first other one.
    LookUp,
    /// `WSAEACCES`, `WSA_NOT_ENOUGH_MEMORY`, `WSAEINVAL`, `WSAEOPNOTSUPP`, `WSASERVICE_NOT_FOUND`, then the first
    /// other one.
    Registration,
    /// `WSASERVICE_NOT_FOUND` only if every provider said so, else the first other one.
    Removal,
}

impl Ranking {
    /// How little `code` tells: the lowest number wins.
    const fn rank(self, code: WsaCode) -> u8 {
        match self {
            Self::LookUp => match code {
                WsaCode::WSANO_DATA => 0,
                WsaCode::WSASERVICE_NOT_FOUND => 1,
                _ => 2,
            },
            Self::Registration => match code {
                WsaCode::WSAEACCES => 0,
                WsaCode::WSA_NOT_ENOUGH_MEMORY => 1,
                WsaCode::WSAEINVAL => 2,
                WsaCode::WSAEOPNOTSUPP => 3,
                WsaCode::WSASERVICE_NOT_FOUND => 4,
                _ => 5,
            },
            Self::Removal => match code {
                WsaCode::WSASERVICE_NOT_FOUND => 1,
                _ => 0,
            },
        }
    }
}

/// The most telling error heard so far.
#[derive(Clone, Copy, Debug)]
pub struct Verdict {
    ranking: Ranking,
    best: Option<WsaCode>,
}

impl Verdict {
    /// Nothing was heard yet.
    #[must_use]
    pub const fn new(ranking: Ranking) -> Self {
        Self { ranking, best: None }
    }

    /// Takes note of a provider's error. That a provider was unavailable is no answer of its own and is not noted.
    pub fn note(&mut self, code: WsaCode) {
        let better = self
            .best
            .is_none_or(|best| self.ranking.rank(code) < self.ranking.rank(best));
        if better {
            self.best = Some(code);
        }
    }

    /// The code for the caller: the most telling one, or `WSASERVICE_NOT_FOUND` if nobody said anything because
    /// every provider was unavailable.
    #[must_use]
    pub fn code(&self) -> WsaCode {
        self.best.unwrap_or(WsaCode::WSASERVICE_NOT_FOUND)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(ranking: Ranking, codes: &[WsaCode]) -> WsaCode {
        let mut verdict = Verdict::new(ranking);
        for &code in codes {
            verdict.note(code);
        }
        verdict.code()
    }

    #[test]
    fn look_up_prefers_no_data_then_not_found_then_the_first_other() {
        use WsaCode as W;
        assert_eq!(verdict(Ranking::LookUp, &[]), W::WSASERVICE_NOT_FOUND);
        assert_eq!(
            verdict(Ranking::LookUp, &[W::WSAEINVAL, W::WSAEACCES]),
            W::WSAEINVAL
        );
        assert_eq!(
            verdict(Ranking::LookUp, &[W::WSAEINVAL, W::WSASERVICE_NOT_FOUND]),
            W::WSASERVICE_NOT_FOUND
        );
        assert_eq!(
            verdict(Ranking::LookUp, &[W::WSASERVICE_NOT_FOUND, W::WSANO_DATA]),
            W::WSANO_DATA
        );
        assert_eq!(
            verdict(Ranking::LookUp, &[W::WSANO_DATA, W::WSASERVICE_NOT_FOUND]),
            W::WSANO_DATA
        );
    }

    #[test]
    fn registration_prefers_the_error_that_the_caller_can_act_on() {
        use WsaCode as W;
        let ladder = [
            W::WSATRY_AGAIN,
            W::WSASERVICE_NOT_FOUND,
            W::WSAEOPNOTSUPP,
            W::WSAEINVAL,
            W::WSA_NOT_ENOUGH_MEMORY,
            W::WSAEACCES,
        ];
        for heard in 1..=ladder.len() {
            assert_eq!(
                verdict(Ranking::Registration, &ladder[..heard]),
                ladder[heard - 1]
            );
        }
    }

    #[test]
    fn removal_is_not_found_only_if_all_said_so() {
        use WsaCode as W;
        assert_eq!(
            verdict(Ranking::Removal, &[W::WSASERVICE_NOT_FOUND; 3]),
            W::WSASERVICE_NOT_FOUND
        );
        assert_eq!(
            verdict(
                Ranking::Removal,
                &[W::WSASERVICE_NOT_FOUND, W::WSAEACCES, W::WSAEINVAL]
            ),
            W::WSAEACCES
        );
    }
}
