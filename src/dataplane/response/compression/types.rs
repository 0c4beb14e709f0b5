//! The types that are worth compressing: CloudFront's list ("File types that CloudFront compresses").

/// In order, so that it can be searched.
const TYPES: [&[u8]; 48] = [
    b"application/dash+xml",
    b"application/eot",
    b"application/font",
    b"application/font-sfnt",
    b"application/javascript",
    b"application/json",
    b"application/opentype",
    b"application/otf",
    b"application/pdf",
    b"application/pkcs7-mime",
    b"application/protobuf",
    b"application/rss+xml",
    b"application/truetype",
    b"application/ttf",
    b"application/vnd.apple.mpegurl",
    b"application/vnd.mapbox-vector-tile",
    b"application/vnd.ms-fontobject",
    b"application/wasm",
    b"application/x-font-opentype",
    b"application/x-font-truetype",
    b"application/x-font-ttf",
    b"application/x-httpd-cgi",
    b"application/x-javascript",
    b"application/x-mpegurl",
    b"application/x-opentype",
    b"application/x-otf",
    b"application/x-perl",
    b"application/x-ttf",
    b"application/xhtml+xml",
    b"application/xml",
    b"font/eot",
    b"font/opentype",
    b"font/otf",
    b"font/ttf",
    b"image/svg+xml",
    b"text/css",
    b"text/csv",
    b"text/html",
    b"text/javascript",
    b"text/js",
    b"text/plain",
    b"text/richtext",
    b"text/tab-separated-values",
    b"text/x-component",
    b"text/x-java-source",
    b"text/x-script",
    b"text/xml",
    b"vnd.apple.mpegurl",
];

/// Whether what has this `Content-Type` is worth compressing; parameters and letter case do not matter.
pub(super) fn is_compressible(content_type: &[u8]) -> bool {
    let kind = content_type.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    let kind = kind.to_ascii_lowercase();
    TYPES.binary_search(&kind.as_slice()).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_types_are_in_order_so_that_each_is_found() {
        assert!(TYPES.is_sorted());
        assert!(TYPES.into_iter().all(is_compressible));
    }

    #[test]
    fn a_type_counts_without_its_parameters_and_whatever_its_letters() {
        for kind in ["text/html", "Text/HTML", "text/html;charset=utf-8", " text/html ; charset=utf-8"] {
            assert!(is_compressible(kind.as_bytes()), "{kind}");
        }
        for kind in [
            "",
            "text",
            "text/",
            "text/htm",
            "text/html5",
            "text/html,text/css",
            "image/png",
            "text/event-stream",
        ] {
            assert!(!is_compressible(kind.as_bytes()), "{kind}");
        }
    }
}
