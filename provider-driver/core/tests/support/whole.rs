//! Whole look-ups, and what they are compared with.

use nsemail_contract::codes::WsaCode;
use nsemail_contract::dispatch::{LookupBatch, LookupQuestion};
use nsemail_contract::queryset::QuerySet;

use super::{Session, record};

fn wire(query: &QuerySet<'_>) -> Vec<u8> {
    let mut bytes = vec![0; query.size().unwrap()];
    query.write_wire(&mut bytes).unwrap();
    bytes
}

impl Session {
    /// All records of a question in the wire form, or the code that ended the look-up before the first.
    pub fn records(&self, query: &QuerySet<'_>, flags: u32) -> Result<Vec<Vec<u8>>, WsaCode> {
        let lookup = self.begin(query, flags)?;
        let mut records = Vec::new();
        let end = loop {
            let (code, buffer, _) = self.fetch(lookup, 0, 1 << 17);
            if !code.is_success() {
                break code;
            }
            records.push(wire(&record(&buffer)));
        };
        assert_eq!(self.end(lookup), WsaCode::NO_ERROR);
        if records.is_empty() { Err(end) } else { Ok(records) }
    }

    /// Asks several questions at once, with room for so many bytes of records: the code of each, and its records as they
    /// were written.
    pub fn whole(
        &self,
        queries: &[QuerySet<'_>],
        flags: u32,
        room: usize,
    ) -> Result<Vec<(WsaCode, Vec<u8>)>, WsaCode> {
        let queries: Vec<Vec<u8>> = queries.iter().map(wire).collect();
        let mut questions: Vec<_> = queries
            .iter()
            .map(|query| LookupQuestion {
                query: query.as_ptr(),
                query_length: query.len().try_into().unwrap(),
                code: WsaCode::WSAEFAULT,
                size: u32::MAX,
            })
            .collect();
        let mut buffer = vec![0; room];
        let batch = LookupBatch {
            questions: questions.as_mut_ptr(),
            buffer: buffer.as_mut_ptr(),
            count: questions.len().try_into().unwrap(),
            buffer_length: room.try_into().unwrap(),
        };
        let code = self.peer.call(|dispatch, context| {
            // SAFETY: the arguments are valid during the call.
            unsafe {
                dispatch.lookup_service_batch.unwrap()(
                    context,
                    &raw const self.peer.provider,
                    flags,
                    self.session,
                    &raw const batch,
                )
            }
        });
        code.unwrap().ok()?;
        let mut rest = &buffer[..];
        let answers = questions.iter().map(|question| {
            let (records, after) = rest.split_at(question.size as usize);
            rest = after;
            (question.code, records.to_vec())
        });
        Ok(answers.collect())
    }
}
