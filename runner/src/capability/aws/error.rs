//! What can go wrong with AWS, and the one conversion of it to the error a guest sees.

use crate::capability::Error;
use aws_sdk_cloudformation::config::http::HttpResponse;
use aws_sdk_cloudformation::error::{ProvideErrorMetadata, SdkError};

/// Why a call to AWS did not work.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AwsError {
    /// The service refused it.
    #[error("{call}: {code}: {message}")]
    Service {
        /// The API's name of the call.
        call: &'static str,
        /// The service's error code, for instance `ValidationError`.
        code: String,
        /// The service's text.
        message: String,
    },
    /// Something answered that is not AWS: a proxy, a wrong endpoint.
    #[error("{call}: {endpoint} answered with HTTP status {status}, which is not an answer of AWS")]
    NotAws {
        /// The API's name of the call.
        call: &'static str,
        /// HTTP status.
        status: u16,
        /// Where the call went.
        endpoint: String,
    },
    /// No answer.
    #[error("{call}: no answer from {endpoint}: {reason}")]
    Unreachable {
        /// The API's name of the call.
        call: &'static str,
        /// Where the call went.
        endpoint: String,
        /// What was tried and failed.
        reason: String,
    },
    /// There are no credentials, or they cannot be used.
    #[error("no usable AWS credentials: {0}")]
    Credentials(String),
    /// The granted role cannot be assumed.
    #[error("cannot assume the role {arn}: {reason}")]
    Role {
        /// As granted.
        arn: String,
        /// What was tried and failed.
        reason: String,
    },
    /// The credentials belong to another account than the granted one.
    #[error("the AWS credentials belong to account {found}, and grants.aws.account is {granted}")]
    WrongAccount {
        /// As granted.
        granted: String,
        /// As `GetCallerIdentity` answers.
        found: String,
    },
}

impl AwsError {
    /// From the SDK's error; `endpoint` is where the call went.
    pub(crate) fn from_sdk<E>(call: &'static str, endpoint: &str, error: &SdkError<E, HttpResponse>) -> Self
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        if let (Some(code), SdkError::ServiceError(_)) = (error.code(), error) {
            let message = error.message().unwrap_or("no further text").to_owned();
            return Self::Service { call, code: code.to_owned(), message };
        }
        if let Some(response) = error.raw_response() {
            return Self::NotAws { call, status: response.status().as_u16(), endpoint: endpoint.to_owned() };
        }
        let reason = chain(error);
        if reason.contains("credentials") {
            return Self::Credentials(reason);
        }
        Self::Unreachable { call, endpoint: endpoint.to_owned(), reason }
    }

    /// Whether a stack or change set is not there.
    pub(super) fn is_missing(&self) -> bool {
        match self {
            Self::Service { code, message, .. } => {
                code == "ChangeSetNotFound" || code == "ValidationError" && message.contains("does not exist")
            }
            _ => false,
        }
    }

    /// Whether the name is taken by another change set.
    pub(super) fn already_exists(&self) -> bool {
        matches!(self, Self::Service { code, .. } if code == "AlreadyExistsException")
    }

    /// What the reader can do about it; empty when the text says it all.
    fn remedy(&self) -> &'static str {
        match self {
            Self::Service { code, .. } => match code.as_str() {
                "AccessDenied" | "AccessDeniedException" | "UnauthorizedOperation" => {
                    "the credentials or the role lack this permission in IAM"
                }
                "ExpiredToken" | "ExpiredTokenException" | "RequestExpired" => {
                    "the credentials have expired; get new ones and run the job again"
                }
                "InvalidClientTokenId" | "UnrecognizedClientException" | "SignatureDoesNotMatch" => {
                    "AWS does not accept the credentials; check AWS_PROFILE or AWS_ACCESS_KEY_ID"
                }
                "InsufficientCapabilitiesException" => {
                    "list the capability in the step's parameter `capabilities` and in grants.aws.capabilities"
                }
                _ => "",
            },
            Self::NotAws { .. } | Self::Unreachable { .. } => {
                "check the network, the proxy, AWS_ENDPOINT_URL and grants.aws.region"
            }
            Self::Credentials(_) => {
                "set AWS_PROFILE or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY where the runner is started"
            }
            Self::Role { .. } => {
                "check its trust policy, grants.aws.role.external-id, and the credentials where the runner is started"
            }
            Self::WrongAccount { .. } => {
                "use credentials of the granted account, or name a role of that account in grants.aws.role"
            }
        }
    }
}

/// Codes by which the service asks for fewer calls.
const THROTTLED: [&str; 5] =
    ["Throttling", "ThrottlingException", "ThrottledException", "RequestLimitExceeded", "TooManyRequestsException"];

impl From<AwsError> for Error {
    fn from(error: AwsError) -> Self {
        let text = match error.remedy() {
            "" => error.to_string(),
            remedy => format!("{error}; {remedy}"),
        };
        match &error {
            AwsError::Service { code, .. } if THROTTLED.contains(&code.as_str()) => Self::Limit(text),
            _ if error.is_missing() => Self::NotFound(text),
            _ => Self::Failed(text),
        }
    }
}

/// The error and everything it was caused by, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut texts: Vec<String> = Vec::new();
    let mut next = Some(error);
    while let Some(error) = next {
        let text = error.to_string();
        if !texts.iter().any(|before| before.contains(&text)) {
            texts.push(text);
        }
        next = error.source();
    }
    texts.join(": ")
}
