// SPDX-License-Identifier: EUPL-1.2
//! How a call fails: Twirp's codes with their HTTP statuses (Twirp wire protocol version 7, "Error Codes"), as JSON.

use axum::Json;
use axum::http::StatusCode;
use axum::http::header::CACHE_CONTROL;
use axum::response::{IntoResponse, Response};
use parvis_meeting::MeetingError;
use parvis_signal::ControlError;
use serde::Serialize;

use crate::rooms::{ControlFailure, CreateFailure, JoinRefusal};
use crate::token::TokenError;

/// What kind of failure it is; applications decide by this.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Code {
    Malformed,
    InvalidArgument,
    NotFound,
    BadRoute,
    AlreadyExists,
    Unauthenticated,
    PermissionDenied,
    ResourceExhausted,
    FailedPrecondition,
    DeadlineExceeded,
    Unimplemented,
    Unavailable,
    Internal,
}

impl Code {
    fn name(self) -> &'static str {
        match self {
            Code::Malformed => "malformed",
            Code::InvalidArgument => "invalid_argument",
            Code::NotFound => "not_found",
            Code::BadRoute => "bad_route",
            Code::AlreadyExists => "already_exists",
            Code::Unauthenticated => "unauthenticated",
            Code::PermissionDenied => "permission_denied",
            Code::ResourceExhausted => "resource_exhausted",
            Code::FailedPrecondition => "failed_precondition",
            Code::DeadlineExceeded => "deadline_exceeded",
            Code::Unimplemented => "unimplemented",
            Code::Unavailable => "unavailable",
            Code::Internal => "internal",
        }
    }

    fn status(self) -> StatusCode {
        match self {
            Code::Malformed | Code::InvalidArgument => StatusCode::BAD_REQUEST,
            Code::NotFound | Code::BadRoute => StatusCode::NOT_FOUND,
            Code::AlreadyExists => StatusCode::CONFLICT,
            Code::Unauthenticated => StatusCode::UNAUTHORIZED,
            Code::PermissionDenied => StatusCode::FORBIDDEN,
            Code::ResourceExhausted => StatusCode::TOO_MANY_REQUESTS,
            Code::FailedPrecondition => StatusCode::PRECONDITION_FAILED,
            Code::DeadlineExceeded => StatusCode::REQUEST_TIMEOUT,
            Code::Unimplemented => StatusCode::NOT_IMPLEMENTED,
            Code::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Code::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

/// Why a call did nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TwirpError {
    code: Code,
    /// Where HTTP has a more exact word than Twirp's table.
    status: Option<StatusCode>,
    message: String,
}

impl TwirpError {
    pub(crate) fn new(code: Code, message: impl ToString) -> TwirpError {
        TwirpError { code, status: None, message: message.to_string() }
    }

    /// The code, as the protocol has it.
    pub(crate) fn word(&self) -> &'static str {
        self.code.name()
    }

    /// The token is not enough for this call. Applications know this as the same code as no token at all.
    pub(crate) fn denied() -> TwirpError {
        let message = "permissions denied: the token has not the grant for this call, or is for another room";
        TwirpError::new(Code::Unauthenticated, message)
    }

    /// A body beyond the limit.
    pub(crate) fn too_large(limit: usize) -> TwirpError {
        let message = format!("the body is larger than {limit} bytes");
        TwirpError {
            status: Some(StatusCode::PAYLOAD_TOO_LARGE),
            ..TwirpError::new(Code::Malformed, message)
        }
    }

    /// A body in an encoding that is not read.
    pub(crate) fn encoded() -> TwirpError {
        let message = "compressed bodies are not read here: send it without Content-Encoding";
        let status = Some(StatusCode::UNSUPPORTED_MEDIA_TYPE);
        TwirpError { status, ..TwirpError::new(Code::Malformed, message) }
    }

    pub(crate) fn invalid(message: impl ToString) -> TwirpError {
        TwirpError::new(Code::InvalidArgument, message)
    }
}

impl IntoResponse for TwirpError {
    fn into_response(self) -> Response {
        #[derive(Serialize)]
        struct Body {
            code: &'static str,
            msg: String,
        }
        let status = self.status.unwrap_or_else(|| self.code.status());
        let body = Body { code: self.code.name(), msg: self.message };
        (status, [(CACHE_CONTROL, "no-store")], Json(body)).into_response()
    }
}

impl From<TokenError> for TwirpError {
    fn from(error: TokenError) -> Self {
        TwirpError::new(Code::Unauthenticated, error)
    }
}

impl From<ControlFailure> for TwirpError {
    fn from(failure: ControlFailure) -> Self {
        let code = match &failure {
            ControlFailure::NoRoom(_) => Code::NotFound,
            ControlFailure::Refused(refused) => match refused {
                ControlError::Revoked => Code::Unauthenticated,
                ControlError::Demoted | ControlError::Outranked(_) => Code::PermissionDenied,
                ControlError::Ended | ControlError::NoParticipant(_) | ControlError::NoTrack(_) => {
                    Code::NotFound
                }
                ControlError::MayNotUnmute => Code::FailedPrecondition,
                ControlError::Refused(MeetingError::NoParticipant | MeetingError::NoTrack) => Code::NotFound,
                ControlError::Refused(_) | ControlError::TooLarge { .. } | ControlError::Nonce(_) => {
                    Code::InvalidArgument
                }
            },
        };
        TwirpError::new(code, failure)
    }
}

impl From<JoinRefusal> for TwirpError {
    fn from(refusal: JoinRefusal) -> Self {
        let code = match &refusal {
            JoinRefusal::TooManyRooms | JoinRefusal::TooManyOffers(_) => Code::ResourceExhausted,
            JoinRefusal::NoRoom => Code::NotFound,
            JoinRefusal::Unreadable
            | JoinRefusal::Draining
            | JoinRefusal::NoForwarder
            | JoinRefusal::Ending => Code::Unavailable,
            JoinRefusal::Refused(_) => Code::FailedPrecondition,
        };
        TwirpError::new(code, refusal)
    }
}

impl From<CreateFailure> for TwirpError {
    fn from(failure: CreateFailure) -> Self {
        match failure {
            CreateFailure::NotMade(refusal) => refusal.into(),
            CreateFailure::NotChanged(failure) => failure.into(),
        }
    }
}
