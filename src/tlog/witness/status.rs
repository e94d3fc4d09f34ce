//! The HTTP statuses of a witness.

/// The type of an answer that names the size of the latest checkpoint that the witness cosigned.
pub const SIZE_CONTENT_TYPE: &str = "text/x.tlog.size";

/// The HTTP status of an answer of a witness.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum WitnessStatus {
    /// 200: cosigned.
    Cosigned,
    /// 400: the request is malformed, or the old size is larger than the new one.
    BadRequest,
    /// 403: no key that is trusted for the log signed.
    Forbidden,
    /// 404: the log is unknown.
    NotFound,
    /// 409: the old size is not that of the latest checkpoint.
    Conflict,
    /// 422: the checkpoint does not extend the latest one.
    Unprocessable,
}

impl WitnessStatus {
    /// The number of the status.
    #[must_use]
    pub const fn code(self) -> u16 {
        match self {
            Self::Cosigned => 200,
            Self::BadRequest => 400,
            Self::Forbidden => 403,
            Self::NotFound => 404,
            Self::Conflict => 409,
            Self::Unprocessable => 422,
        }
    }

    /// The status of this number, if it is one that the protocol gives a meaning.
    #[must_use]
    pub const fn from_code(code: u16) -> Option<Self> {
        Some(match code {
            200 => Self::Cosigned,
            400 => Self::BadRequest,
            403 => Self::Forbidden,
            404 => Self::NotFound,
            409 => Self::Conflict,
            422 => Self::Unprocessable,
            _ => return None,
        })
    }
}
