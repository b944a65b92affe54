//! The reader of messages: any packet is a message or an error, and a message that was read is written the same.

use rsm_core::message::{Reply, Request, decode, encode};

/// Reads the input as a request and as a reply.
pub fn run(data: &[u8]) {
    if let Ok(request) = decode::<Request>(data) {
        let again = encode(&request).expect("what fits a packet fits it again");
        assert_eq!(decode::<Request>(&again).as_ref(), Ok(&request));
        assert!(again.len() <= data.len(), "numbers are written in the shortest way");
    }
    if let Ok(reply) = decode::<Reply>(data) {
        // Texts of errors may be long; a reply that cannot be sent becomes one that can.
        if let Ok(again) = encode(&reply) {
            assert_eq!(decode::<Reply>(&again).as_ref(), Ok(&reply));
        }
    }
}
