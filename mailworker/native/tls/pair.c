/*
 * Thousands of certificates with their keys, to be set on connections of any context. They are read without OpenSSL's
 * decoders, as OpenSSL 3.0 collects and tries all of these for each key: 0.4 ms for a private one, 0.1 for that of a
 * certificate.
 */

#define OPENSSL_SUPPRESS_DEPRECATED

#include "openssl.h"

#include <openssl/ec.h>
#ifndef OPENSSL_NO_ENGINE
#include <openssl/engine.h>
#endif
#include <openssl/rsa.h>

static EVP_PKEY *rsa_key(const unsigned char **der, long length)
{
    RSA *rsa = d2i_RSAPrivateKey(NULL, der, length);
    EVP_PKEY *key = rsa == NULL ? NULL : EVP_PKEY_new();

    if (key == NULL || EVP_PKEY_assign_RSA(key, rsa) != 1) {
        EVP_PKEY_free(key);
        RSA_free(rsa);
        return NULL;
    }
    return key;
}

/* `curve` is NID_undef where the key itself names its curve. */
static EVP_PKEY *ec_key(const unsigned char **der, long length, int curve)
{
    EC_KEY *ec = curve == NID_undef ? EC_KEY_new() : EC_KEY_new_by_curve_name(curve);
    EVP_PKEY *key = NULL;

    if (ec == NULL || d2i_ECPrivateKey(&ec, der, length) == NULL || (key = EVP_PKEY_new()) == NULL ||
        EVP_PKEY_assign_EC_KEY(key, ec) != 1) {
        EVP_PKEY_free(key);
        EC_KEY_free(ec);
        return NULL;
    }
    return key;
}

static int curve_of(const X509_ALGOR *algorithm)
{
    const void *parameters;
    int type;

    X509_ALGOR_get0(NULL, &type, &parameters, algorithm);
    return type == V_ASN1_OBJECT ? OBJ_obj2nid(parameters) : NID_undef;
}

static EVP_PKEY *pkcs8_key(const unsigned char **der, long length)
{
    PKCS8_PRIV_KEY_INFO *info = d2i_PKCS8_PRIV_KEY_INFO(NULL, der, length);
    const ASN1_OBJECT *kind;
    const X509_ALGOR *algorithm;
    const unsigned char *inside;
    EVP_PKEY *key = NULL;
    int inside_length, curve;

    if (info != NULL && PKCS8_pkey_get0(&kind, &inside, &inside_length, &algorithm, info) == 1) {
        if (OBJ_obj2nid(kind) == NID_rsaEncryption) {
            key = rsa_key(&inside, inside_length);
        } else if (OBJ_obj2nid(kind) == NID_X9_62_id_ecPublicKey && (curve = curve_of(algorithm)) != NID_undef) {
            key = ec_key(&inside, inside_length, curve);
        } else {
            key = EVP_PKCS82PKEY(info);
        }
    }
    PKCS8_PRIV_KEY_INFO_free(info);
    return key;
}

EVP_PKEY *pair_key(enum key_form form, const unsigned char *der, long length)
{
    switch (form) {
    case KEY_RSA:
        return rsa_key(&der, length);
    case KEY_EC:
        return ec_key(&der, length, NID_undef);
    default:
        return pkcs8_key(&der, length);
    }
}

#ifndef OPENSSL_NO_ENGINE
static int usual_kinds(ENGINE *engine, EVP_PKEY_METHOD **method, const int **kinds, int kind)
{
    static const int usual[] = {EVP_PKEY_RSA, EVP_PKEY_EC};

    if (method == NULL) {
        *kinds = usual;
        return 2;
    }
    *method = NULL;
    return 0;
}

/*
 * OpenSSL reads a certificate's key by its kind's own function only where an engine claims that kind, so one does
 * meanwhile. Such a key is of the same form as the private one, so comparing the two costs little as well.
 */
X509 *pair_certificate(const unsigned char *der, long length)
{
    ENGINE *engine = ENGINE_new();
    X509 *certificate = NULL;

    if (engine != NULL && ENGINE_set_pkey_meths(engine, usual_kinds) == 1 && ENGINE_register_pkey_meths(engine) == 1) {
        certificate = d2i_X509(NULL, &der, length);
        ENGINE_unregister_pkey_meths(engine);
    }
    ENGINE_free(engine);
    return certificate;
}
#else
X509 *pair_certificate(const unsigned char *der, long length)
{
    return d2i_X509(NULL, &der, length);
}
#endif
